// When a sum of tokens says something.

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
