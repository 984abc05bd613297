import { expect, test } from "vitest";
import type { RequestCost } from "../../api/types.ts";
import { event } from "../../testing/fixtures.ts";
import { costFacts } from "./cost-facts.ts";

const cost = (change: Partial<RequestCost>): RequestCost => ({
  source: "COST_SOURCE_TABLE",
  nanoUsd: 4_200_000,
  cacheSavingNanoUsd: null,
  provider: "openai",
  priceVersion: "7",
  ...change,
});
const told = (change: Partial<RequestCost>, of = {}) => costFacts(event({ cost: cost(change), ...of }));

test("a cost says who bills it and where it comes from", () => {
  expect(told({})).toEqual({
    facts: [
      ["Amount", "$0.0042"],
      ["Provider", "openai"],
      ["Price list", "7"],
    ],
    note: "By the price list 7",
  });
  expect(told({ source: "COST_SOURCE_UPSTREAM", priceVersion: null }).note).toBe("Reported by the upstream");
  const estimated = told({ source: "COST_SOURCE_ESTIMATED", cacheSavingNanoUsd: -1_000_000 });
  expect(estimated.facts[0]).toEqual(["Amount", "≈ $0.0042"]);
  expect(estimated.facts[3]).toEqual(["Cache", "caches cost $0.001 more"]);
  expect(estimated.note).toMatch(/counts that are estimated or incomplete$/);
  expect(told({ source: "COST_SOURCE_NOT_DUE", nanoUsd: null }).facts[0]).toEqual(["Amount", "nothing due"]);
});

test("an unknown cost says why, and is no 0", () => {
  const unknown = { source: "COST_SOURCE_UNKNOWN", nanoUsd: null, priceVersion: null } as const;
  expect(told(unknown).facts[0]).toEqual(["Amount", "unknown"]);
  expect(told(unknown).note).toMatch(/no price of openai for "qwen3-8b".*MODASH_PRICES_FILE/);
  expect(told({ ...unknown, provider: null }).note).toMatch(
    /upstream "default" belongs to no known provider.*MODASH_PRICES_FILE/,
  );
  expect(told(unknown, { usageSource: "USAGE_SOURCE_NOT_REPORTED" }).note).toBe(
    "Unknown: the answer carried no token counts",
  );
  expect(told(unknown, { model: null, modelRequested: null }).note).toMatch(/names a model$/);
});

test("a request from before costs is not said to be free", () => {
  expect(costFacts(event({ cost: null }))).toMatchObject({
    facts: [
      ["Amount", "unknown"],
      ["Provider", "–"],
      ["Price list", "–"],
    ],
    note: "The request was stored before costs were recorded",
  });
});
