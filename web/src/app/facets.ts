// The values of a dimension that requests of the range have, most requests first.
import type { Dimension, UsageTimeseries } from "../api/types.ts";
import { useRpc } from "../api/use-rpc.ts";
import { type ListKey, OPERATIONS, useScope, useView } from "../lib/view.ts";

export type Facet = Exclude<ListKey, "status">;

export const FACETS: readonly (readonly [Facet, string])[] = [
  ["model", "Model"],
  ["client", "Client"],
  ["upstream", "Upstream"],
  ["user", "User"],
  ["session", "Session"],
  ["tag", "Tag"],
  ["operation", "Operation"],
  ["dialect", "Dialect"],
];

const DIMENSIONS: Partial<Record<Facet, Dimension>> = {
  client: "DIMENSION_CLIENT_KEY",
  upstream: "DIMENSION_UPSTREAM",
  user: "DIMENSION_USER",
};
const DIALECTS =
  "openai-chat openai-responses anthropic-messages gemini-generate ollama-chat ollama-generate bedrock-converse cohere-chat unknown".split(
    " ",
  );
/** The most groups that a time series tells apart. */
const MOST = 50;
const WEEK_SECONDS = 604_800;

/** Values with their requests, null where these are not known; `hint` says what can be typed. */
export function useFacet(facet: Facet, typed: string): { values: [string, number | null][]; hint: string } {
  const [view] = useView();
  const scope = useScope();
  const tag = facet === "tag" ? (/^([^:]+):/.exec(typed)?.[1] ?? null) : null;
  const dimension = DIMENSIONS[facet];
  // Without the filters in force: one narrow question, whatever is chosen, answered from the cache afterwards.
  const key = ["facet", facet, tag, view.span, view.zone];
  const models = useRpc(
    "ModelBreakdown",
    key,
    () => ({ range: scope.range(), timeZone: scope.zone, limit: 200 }),
    { enabled: facet === "model", past: true },
  );
  const groups = useRpc(
    "UsageTimeseries",
    key,
    () => ({
      range: scope.range(),
      timeZone: scope.zone,
      bucketSeconds: WEEK_SECONDS,
      top: MOST,
      groupBy: tag ? { tag } : { dimension: dimension ?? "DIMENSION_UNSPECIFIED" },
    }),
    { enabled: Boolean(dimension ?? tag), past: true },
  );
  switch (facet) {
    case "model":
      return {
        values: (models.data?.rows ?? []).filter((row) => row.model).map((row) => [row.model, row.requests]),
        hint: "Search models",
      };
    case "operation":
      return { values: OPERATIONS.map((name) => [name, null]), hint: "Search operations" };
    case "dialect":
      return { values: DIALECTS.map((name) => [name, null]), hint: "Search, or type another one" };
    case "session":
      return { values: [], hint: "Type a session and press Enter" };
    case "tag":
      return { values: tag ? sums(groups.data, `${tag}:`) : [], hint: "Type name: for the values of a tag" };
    default:
      return { values: sums(groups.data, ""), hint: "Search, or type one that is not listed" };
  }
}

const sums = (data: UsageTimeseries | undefined, prefix: string): [string, number][] =>
  (data?.series ?? [])
    .filter(({ key, other }) => key && !other)
    .map(({ key, requests }): [string, number] => [
      `${prefix}${key}`,
      requests.reduce((sum, value) => sum + value, 0),
    ])
    .sort((a, b) => b[1] - a[1]);
