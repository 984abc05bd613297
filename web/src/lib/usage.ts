// The one definition of a total of tokens, and when it says something.

/**
 * A sum over requests of which some did not report it is the sum of those that
 * did. Where none of them can have reported, it is not 0 but unknown.
 */
export function knownTokens(
  sum: number,
  of: {
    requests: number;
    failedRequests: number;
    requestsWithoutUsage: number;
    clientClosedRequests?: number;
  },
): number | null {
  const silent = of.failedRequests + of.requestsWithoutUsage + (of.clientClosedRequests ?? 0);
  return sum === 0 && of.requests > 0 && silent >= of.requests ? null : sum;
}

/**
 * Tokens altogether: prompt and completion, wherever they are summed up. (The
 * contract's total has the totals of upstreams that gave no parts as well, and
 * lacks completions without a prompt, so that it is not the sum of what charts show.)
 */
export const tokensOf = (of: { promptTokens: number; completionTokens: number }): number =>
  of.promptTokens + of.completionTokens;

/** Whether sums over these requests are lower bounds: some did not report all of their tokens. */
export const isLowerBound = (of: {
  requestsWithoutUsage: number;
  requestsWithEstimatedUsage?: number;
}): boolean => of.requestsWithoutUsage + (of.requestsWithEstimatedUsage ?? 0) > 0;

/** "≥ " before a lower bound that is known. */
export const boundMark = (value: number | null | undefined, lower: boolean): string =>
  lower && value != null ? "≥ " : "";
