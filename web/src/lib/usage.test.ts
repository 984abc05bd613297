import { expect, test } from "vitest";
import { knownTokens } from "./usage.ts";

const none = { requests: 0, failedRequests: 0, requestsWithoutUsage: 0 };

test("no requests used no tokens", () => expect(knownTokens(0, none)).toBe(0));

test("requests that could not report have an unknown number of tokens", () => {
  expect(knownTokens(0, { requests: 5, failedRequests: 3, requestsWithoutUsage: 2 })).toBeNull();
  expect(knownTokens(0, { requests: 5, failedRequests: 3, requestsWithoutUsage: 1 })).toBe(0);
  expect(knownTokens(7, { requests: 5, failedRequests: 5, requestsWithoutUsage: 0 })).toBe(7);
});
