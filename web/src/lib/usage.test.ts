import { expect, test } from "vitest";
import { boundMark, isLowerBound, knownTokens, tokensOf } from "./usage.ts";

const none = { requests: 0, failedRequests: 0, requestsWithoutUsage: 0 };

test("no requests used no tokens", () => expect(knownTokens(0, none)).toBe(0));

test("requests that could not report have an unknown number of tokens", () => {
  expect(knownTokens(0, { requests: 5, failedRequests: 3, requestsWithoutUsage: 2 })).toBeNull();
  expect(knownTokens(0, { requests: 5, failedRequests: 3, requestsWithoutUsage: 1 })).toBe(0);
  expect(knownTokens(7, { requests: 5, failedRequests: 5, requestsWithoutUsage: 0 })).toBe(7);
});

test("a total is the sum of its parts, whatever upstreams called a total", () => {
  expect(tokensOf({ promptTokens: 900, completionTokens: 100 })).toBe(1_000);
});

test("sums over requests that did not report are lower bounds, and marked", () => {
  expect(isLowerBound({ requestsWithoutUsage: 0, requestsWithEstimatedUsage: 0 })).toBe(false);
  expect(isLowerBound({ requestsWithoutUsage: 0, requestsWithEstimatedUsage: 1 })).toBe(true);
  expect(isLowerBound({ requestsWithoutUsage: 1 })).toBe(true);
  expect([boundMark(5, true), boundMark(5, false), boundMark(null, true)]).toEqual(["≥ ", "", ""]);
});
