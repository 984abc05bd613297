// What requests are broken down by, with the filter that leads to those of one row.
import type { Dimension, Operation, Outcome } from "../../api/types.ts";
import { outcomeWords } from "../../lib/outcome.ts";
import { type FilterKey, statusOf } from "../../lib/view.ts";

interface By {
  dimension: Dimension;
  /** Head of the column of names. */
  name: string;
  /** Name of the row of requests without a value. */
  none: string;
  filter?: FilterKey;
}

/** By the value of `by` in the URL. A tag is `tag:<name>`. */
export const DIMENSIONS: Record<string, By> = {
  client: { dimension: "DIMENSION_CLIENT_KEY", name: "Client", none: "no key", filter: "client" },
  user: { dimension: "DIMENSION_USER", name: "User", none: "no user", filter: "user" },
  upstream: { dimension: "DIMENSION_UPSTREAM", name: "Upstream", none: "unnamed", filter: "upstream" },
  operation: { dimension: "DIMENSION_OPERATION", name: "Operation", none: "unknown", filter: "operation" },
  agent: { dimension: "DIMENSION_USER_AGENT", name: "User agent", none: "no user agent" },
  dialect: { dimension: "DIMENSION_DIALECT", name: "API", none: "unknown", filter: "dialect" },
  session: { dimension: "DIMENSION_SESSION", name: "Session", none: "no session", filter: "session" },
  status: { dimension: "DIMENSION_OUTCOME", name: "Status", none: "unknown", filter: "status" },
  error: { dimension: "DIMENSION_ERROR_TYPE", name: "Error", none: "no error" },
};
export const USUAL = "client";
const TAG = "tag:";

/** The name of the tag, if it is broken down by one; "" while none is named. */
export const tagIn = (by: string): string | null => (by.startsWith(TAG) ? by.slice(TAG.length) : null);

export function byOf(by: string): By {
  const tag = tagIn(by);
  if (tag !== null)
    return { dimension: "DIMENSION_UNSPECIFIED", name: tag || "Tag", none: "without the tag", filter: "tag" };
  return DIMENSIONS[by] ?? (DIMENSIONS[USUAL] as By);
}

/** A row's name: what the filters of the dashboard call it. */
export function rowName(by: string, key: string): string {
  if (!key) return byOf(by).none;
  if (by === "operation") return operationOf(key);
  return by === "status" ? outcomeWords({ outcome: key as Outcome, status: null }).text : key;
}

/** The filter on the requests of a row; none for what no filter can say. */
export function rowFilter(by: string, key: string): [FilterKey, string] | null {
  const { filter } = byOf(by);
  const tag = tagIn(by);
  if (!filter || !key) return null;
  if (tag !== null) return [filter, `${tag}:${key}`];
  if (by === "operation") return [filter, operationOf(key)];
  return [filter, by === "status" ? statusOf(key as Outcome) : key];
}

const operationOf = (key: string): string => (key as Operation).slice("OPERATION_".length).toLowerCase();
