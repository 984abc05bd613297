// What is looked at: the range, zone, filters and groups. All of it lives in
// the URL, with defaults left out, so that a copied link shows the same.
import { createContext, useCallback, useContext, useMemo } from "react";
import { useLocation, useSearch, useSearchParams } from "wouter";
import type { Filter, LiveRequest, Outcome } from "../api/types.ts";
import { serverNow } from "./clock.ts";
import { type Compare, readCompare } from "./compare.ts";
import { bucketSeconds, DEFAULT_SPAN, type Moments, resolve, type Span } from "./time-range.ts";

/** Values of the status filter, and the outcomes that they stand for. */
export const STATUSES = {
  ok: ["OUTCOME_OK"],
  error: [
    "OUTCOME_HTTP_ERROR",
    "OUTCOME_STREAM_ERROR",
    "OUTCOME_EMPTY",
    "OUTCOME_TRUNCATED",
    "OUTCOME_UPSTREAM_UNREACHABLE",
    "OUTCOME_UPSTREAM_TIMEOUT",
    "OUTCOME_INTERRUPTED",
  ],
  cancelled: ["OUTCOME_CLIENT_CLOSED"],
} satisfies Record<string, Outcome[]>;
export type Status = keyof typeof STATUSES;

/** Also one outcome alone, as `http_error`. */
const outcomesOf = (status: string): Outcome[] =>
  STATUSES[status as Status] ??
  Object.values(STATUSES)
    .flat()
    .filter((outcome) => statusOf(outcome) === status);

/** The value of the status filter that stands for one outcome. */
export function statusOf(outcome: Outcome): string {
  const alone = Object.entries(STATUSES).find(([, all]) => all.length === 1 && all[0] === outcome);
  return alone?.[0] ?? outcome.slice("OUTCOME_".length).toLowerCase();
}

const INCLUDED = [
  "model",
  "status",
  "client",
  "upstream",
  "user",
  "session",
  "tag",
  "operation",
  "dialect",
  "stream",
  "prompt",
  "trace",
] as const;
type IncludedKey = (typeof INCLUDED)[number];
/** A key whose values can be excluded, under `not.<key>`. */
export type ListKey = Exclude<IncludedKey, "stream" | "prompt" | "trace">;
const LISTS = INCLUDED.slice(0, 9) as readonly ListKey[];
/** Keys of the URL that narrow what counts: `model=a` is that model, `not.model=a` all but it. */
export type FilterKey = IncludedKey | `not.${ListKey}`;
export const FILTER_KEYS: readonly FilterKey[] = [
  ...INCLUDED,
  ...LISTS.map((key): FilterKey => `not.${key}`),
];

/** The key with the opposite meaning, if there is one. */
export const opposite = (key: FilterKey): FilterKey | undefined =>
  key.startsWith("not.") ? (key.slice(4) as ListKey) : key in FIELDS ? `not.${key as ListKey}` : undefined;

/** Values of the filter on operations. */
export const OPERATIONS =
  "chat completion embedding rerank moderation transcription speech image realtime count_tokens retrieval other".split(
    " ",
  );

/** Lists of the contract's filter that hold the values of a key as they are. */
const FIELDS: Record<ListKey, keyof Filter & string> = {
  model: "models",
  status: "outcomes",
  client: "clientKeys",
  upstream: "upstreams",
  user: "users",
  session: "sessions",
  tag: "tags",
  operation: "operations",
  dialect: "dialects",
};

export interface View {
  span: Span;
  /** IANA name; undefined is the browser's zone. */
  zone: string | undefined;
  compare: Compare;
  filters: Record<FilterKey, string[]>;
  /** The model that the page is about, whatever the filters of the URL. */
  model: string | null;
  /** Any other key of the URL. */
  get(key: string): string | null;
}

/** Moment at which a range that ends now was paused; null while it is live. */
export const PauseContext = createContext<number | null>(null);

// Commas part the values of one key, so that those within a value are escaped.
export const list = (value: string | null): string[] =>
  value ? value.split(",").map((item) => item.replaceAll("%2C", ",").replaceAll("%25", "%")) : [];
const join = (values: string[]): string =>
  values.map((item) => item.replaceAll("%", "%25").replaceAll(",", "%2C")).join(",");

/** `path`: the page's, as the browser has it. */
export function readView(params: URLSearchParams, path = "/"): View {
  const model = modelOfPath(path);
  const filters = Object.fromEntries(
    FILTER_KEYS.map((key) => [key, list(params.get(key))]),
  ) as View["filters"];
  const zone = params.get("tz") ?? undefined;
  return {
    span: { from: params.get("from") ?? DEFAULT_SPAN.from, to: params.get("to") ?? DEFAULT_SPAN.to },
    zone: zone && isZone(zone) ? zone : undefined,
    compare: readCompare(params.get("compare")),
    filters: model === null ? filters : { ...filters, model: [model], "not.model": [] },
    model,
    get: (key) => params.get(key),
  };
}

const MODEL_PAGE = "/models/";

/** The page of one model. */
export const modelPath = (model: string): string => `${MODEL_PAGE}${encodeURIComponent(model)}`;

function modelOfPath(path: string): string | null {
  if (!path.startsWith(MODEL_PAGE)) return null;
  try {
    return decodeURIComponent(path.slice(MODEL_PAGE.length)) || null;
  } catch {
    return null;
  }
}

function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat(undefined, { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** A change after which a value is excluded too; for a key without exclusions, nothing. */
export function without({ filters }: View, key: FilterKey, value: string): Change {
  const not = opposite(key);
  if (!not) return {};
  const kept = filters[key].filter((one) => one !== value);
  return { [key]: kept, [not]: [...new Set([...filters[not], value])] };
}

type Change = Record<string, string | string[] | null>;

/** The view and how to change it: null removes a key. A changed view starts at its first page. */
export function useView(): [View, (change: Change, replace?: boolean) => void] {
  const [params, setParams] = useSearchParams();
  // The router's path is decoded in part; it says when to read the browser's.
  const [path] = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  const view = useMemo(() => readView(params, location.pathname), [params, path]);
  const set = useCallback(
    (change: Change, replace = false) =>
      setParams(
        (before) => {
          const after = new URLSearchParams(before);
          if (!("page" in change)) after.delete("page");
          for (const [key, value] of Object.entries(change)) {
            const text = Array.isArray(value) ? join(value) : value;
            if (text) after.set(key, text);
            else after.delete(key);
          }
          return after;
        },
        { replace },
      ),
    [setParams],
  );
  return [view, set];
}

export type SomeFilters = Partial<Record<FilterKey, string[]>>;

/**
 * Addresses of other pages of the same view: its range, zone and filters go
 * along, and `filters` are set on top. What is on the page of one model leads to
 * that model's requests; `frame`: what is around the page does not. `more`: other keys.
 */
export function useHref(
  frame = false,
): (path: string, filters?: SomeFilters, more?: Record<string, string>) => string {
  const search = useSearch();
  const [view] = useView();
  const model = frame ? null : view.model;
  return useCallback(
    (path, filters = {}, more = {}) => {
      const params = keptParams(search);
      if (model !== null) params.set("model", join([model]));
      for (const [key, values] of Object.entries(filters)) params.set(key, join(values));
      for (const [key, value] of Object.entries(more)) params.set(key, value);
      return params.size > 0 ? `${path}?${params}` : path;
    },
    [search, model],
  );
}

/** Range, zone, filters, columns and transport go along to another page; its page number and the like do not. */
export function keptParams(search: string): URLSearchParams {
  const params = new URLSearchParams(search);
  const kept = new URLSearchParams();
  for (const key of ["from", "to", "tz", "compare", "cols", "via", ...FILTER_KEYS]) {
    const value = params.get(key);
    if (value) kept.set(key, value);
  }
  return kept;
}

/** What every query of a view asks for. `key` is stable while the view is. */
export interface Scope {
  key: unknown[];
  zone: string;
  filter: Filter;
  /** The ends as of now, and the chart's bucket width for them. */
  moments(): Moments & { bucketSeconds: number };
  /** A range of the request; a range that ends now leaves its end to the server. */
  range(): { start: number; end?: number };
}

export function useScope(): Scope {
  const [view] = useView();
  const paused = useContext(PauseContext);
  return useMemo(() => {
    const { span, filters } = view;
    const live = span.to === "now" && paused === null;
    const moments = () => {
      const ends = resolve(span, paused ?? serverNow());
      return { ...ends, bucketSeconds: bucketSeconds(ends) };
    };
    return {
      key: [span, filters, view.zone, span.to === "now" ? paused : null],
      zone: view.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC",
      filter: toFilter(filters),
      moments,
      range: () => {
        const { start, end } = moments();
        return live ? { start } : { start, end };
      },
    };
  }, [view, paused]);
}

type Running = Pick<LiveRequest, "model" | "clientKey" | "upstream" | "dialect" | "stream">;

/** What is known of a request while it runs. */
const KNOWN: Partial<Record<IncludedKey, (request: Running) => string | null>> = {
  model: (request) => request.model,
  client: (request) => request.clientKey,
  upstream: (request) => request.upstream,
  dialect: (request) => request.dialect,
  stream: (request) => (request.stream ? "yes" : "no"),
};

/** Whether a running request passes the filters. What is not known of it yet, it neither is nor is it excluded by it. */
export function liveFilter(filters: View["filters"]): (request: Running) => boolean {
  const checks = INCLUDED.flatMap((key) => {
    const known = KNOWN[key];
    const [asked, not = []] = [filters[key], filters[`not.${key as ListKey}`]];
    const has = (values: string[]) => (request: Running) =>
      known !== undefined && values.includes(known(request) ?? "");
    const excluded = has(not);
    return [
      // A filter by status concerns what has ended.
      ...(key === "status" || asked.length === 0 ? [] : [has(asked)]),
      ...(not.length === 0 ? [] : [(request: Running) => !excluded(request)]),
    ];
  });
  return (request) => checks.every((check) => check(request));
}

/** "1000-2000", "1000-" or "-2000" prompt tokens; both ends count. */
export function promptRange(text: string | undefined): [least: number | undefined, most: number | undefined] {
  const [, least, most] = /^(\d{0,15})-(\d{0,15})$/.exec(text ?? "") ?? [];
  return [least ? Number(least) : undefined, most ? Number(most) : undefined];
}

export function toFilter(filters: View["filters"]): Filter {
  const stream = filters.stream[0];
  const [least, most] = promptRange(filters.prompt[0]);
  const exclude = lists(filters, "not.");
  return {
    ...lists(filters, ""),
    ...(stream ? { stream: stream === "yes" } : {}),
    ...(filters.trace.length ? { traceIds: filters.trace } : {}),
    ...(Object.keys(exclude).length ? { exclude } : {}),
    ...(least === undefined ? {} : { minPromptTokens: least }),
    ...(most === undefined ? {} : { maxPromptTokens: most }),
  };
}

/** What the contract's filter, or its exclusion, takes of the lists. */
function lists(filters: View["filters"], prefix: "" | "not."): Filter {
  const entries = LISTS.flatMap((key) => {
    const chosen = filters[`${prefix}${key}`];
    const values = key === "status" ? chosen.flatMap(outcomesOf) : chosen;
    if (values.length === 0) return [];
    if (key === "operation") {
      const known = values.filter((name) => OPERATIONS.includes(name));
      return [[FIELDS[key], known.map((name) => `OPERATION_${name.toUpperCase()}`)]];
    }
    return [[FIELDS[key], key === "tag" ? Object.fromEntries(values.map(tagOf)) : values]];
  });
  return Object.fromEntries(entries);
}

/** "team:search" is the value "search" of the tag "team". */
export function tagOf(text: string): [name: string, value: string] {
  const colon = text.indexOf(":");
  return colon < 0 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)];
}
