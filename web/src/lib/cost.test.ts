import { afterEach, expect, test } from "vitest";
import { settings } from "../api/page-settings.ts";
import { cost } from "../testing/fixtures.ts";
import { costText, dollars, knownCost, money, rateWords } from "./cost.ts";
import {
  costTitle,
  exactDollars,
  savedText,
  savedTitle,
  savingWords,
  unknownShare,
  withDollars,
} from "./cost-words.ts";

afterEach(() => {
  delete settings.currency;
});

test("dollars have two digits that say something, and no cents where they say nothing", () => {
  for (const [nano, text] of [
    [0, "$0"],
    [1, "$0.000000001"],
    [4_200_000, "$0.0042"],
    [4_249_999, "$0.0042"],
    [42_000_000, "$0.042"],
    [420_000_000, "$0.42"],
    [500_000_000, "$0.50"],
    [999_000_000, "$1.00"],
    [12_345_678_901, "$12.35"],
    [99_990_000_000, "$99.99"],
    [99_996_000_000, "$100"],
    [290_960_000_000, "$291"],
    [1_234_567_890_000_000, "$1,234,568"],
    [-4_200_000, "-$0.0042"],
    [null, "–"],
    [undefined, "–"],
  ] as const)
    expect(dollars(nano)).toBe(text);
});

test("every digit of a nano-dollar is in the exact text", () => {
  expect(exactDollars(1_234_567_891)).toBe("$1.234567891");
  expect(exactDollars(2_000_000_000)).toBe("$2.00");
  expect(exactDollars(null)).toBe("–");
});

test("an unknown cost is a dash and never 0", () => {
  const unknown = cost({ unknownRequests: 12 });
  expect(knownCost(unknown)).toBeNull();
  expect(costText(unknown)).toBe("–");
  expect(costTitle(unknown)).toBe(
    "The cost is unknown. To set a price, add the model to the price file (MODASH_PRICES_FILE).",
  );
  expect(costText(null)).toBe("–");
  expect(costText(undefined)).toBe("–");
  // A price of 0 is a price.
  expect(costText(cost({ knownRequests: 3 }))).toBe("$0");
  // Nothing was due.
  expect(costText(cost())).toBe("–");
  expect(costTitle(cost())).toBe("Nothing is due");
});

test("what a sum lacks and what it guesses are marked and said", () => {
  const sum = cost({ nanoUsd: 1_240_000_000, knownRequests: 97 });
  expect(costText(sum)).toBe("$1.24");
  expect(costTitle(sum)).toBe("$1.24");
  expect(costText({ ...sum, estimatedRequests: 1 })).toBe("≈ $1.24");
  expect(costTitle({ ...sum, estimatedRequests: 1 })).toBe("About $1.24; that of one request is an estimate");
  const lower = { ...sum, unknownRequests: 3, estimatedRequests: 2 };
  expect(costText(lower)).toBe("≥ $1.24");
  expect(costTitle(lower)).toBe(
    "At least $1.24; the cost of 3 requests (3 %) is unknown; that of 2 requests is an estimate",
  );
  expect(unknownShare(lower)).toBeCloseTo(0.03);
});

test("caches save, or cost more than they save", () => {
  expect(savingWords(420_000_000)).toBe("caches saved $0.42");
  expect(savingWords(-4_200_000)).toBe("caches cost $0.0042 more");
  expect(savingWords(0)).toBeNull();
  expect(savingWords(null)).toBeNull();
  expect(savedText(cost({ cacheSavingNanoUsd: -4_200_000 }))).toBe("-$0.0042");
  expect(savedText(cost())).toBe("–");
});

test("another currency is shown by its rate, and the dollars are told beside it", () => {
  expect(rateWords()).toBe("");
  expect(withDollars(1_240_000_000)).toBe("$1.24");
  settings.currency = { code: "EUR", rate: 0.92 };
  for (const [nano, text] of [
    [0, "€0"],
    [4_200_000, "€0.0039"],
    [12_345_678_901, "€11.36"],
    [1_234_567_890_000_000, "€1,135,802"],
    [-4_200_000, "-€0.0039"],
    [null, "–"],
  ] as const)
    expect(money(nano)).toBe(text);
  expect(dollars(12_345_678_901)).toBe("$12.35");
  expect(rateWords()).toBe("$1 = €0.92");
  const sum = cost({ nanoUsd: 1_240_000_000, knownRequests: 97, unknownRequests: 3 });
  expect(costText(sum)).toBe("≥ €1.14");
  expect(costTitle(sum)).toBe("At least $1.24; the cost of 3 requests (3 %) is unknown; $1 = €0.92");
  expect(withDollars(1_240_000_000)).toBe("€1.14 ($1.24)");
  expect(withDollars(null)).toBe("–");
  expect(savingWords(420_000_000)).toBe("caches saved €0.39 ($0.42)");
  expect(savedText(cost({ cacheSavingNanoUsd: 420_000_000 }))).toBe("€0.39");
  expect(savedTitle(420_000_000)).toBe("$0.42 saved by caches of prompts");
});

test("a currency has as many digits as its prices have, and more where an amount is small", () => {
  settings.currency = { code: "JPY", rate: 155 };
  expect([1_000_000, 12_345_678_901].map(money)).toEqual(["¥0.16", "¥1,914"]);
  expect(money(80_000_000)).toBe("¥12");
  settings.currency = { code: "KWD", rate: 0.31 };
  expect(money(12_345_678_901)).toBe("KWD 3.827".replace(" ", "\u00a0"));
  // Not the dollar of the United States.
  settings.currency = { code: "CAD", rate: 1.4 };
  expect(money(10_000_000_000)).toBe("CA$14.00");
  expect(rateWords()).toBe("$1 = CA$1.40");
});
