// The columns of a request: heading, cell and the raw value for exports.
import type { ReactNode } from "react";
import type { UsageEvent } from "../../api/types.ts";
import { Status } from "../../components/status.tsx";
import { inDollars, money } from "../../lib/cost.ts";
import { exactDollars, savedTitle } from "../../lib/cost-words.ts";
import type { Cell } from "../../lib/download.ts";
import { ago, bytes, count, dateTime, duration, exact, rate, UNKNOWN } from "../../lib/format.ts";
import { type Names, useNames } from "../../lib/names.tsx";
import { outcomeWords, USAGE_SOURCES } from "../../lib/outcome.ts";
import { useNow } from "../../lib/use-now.ts";

/** Fields of a request that are single values: the names that URLs and exports know them by. */
export type Field = {
  [K in keyof UsageEvent]: UsageEvent[K] extends string | number | boolean | null ? K : never;
}[keyof UsageEvent];

export interface Column {
  id: Field | "cost" | "cacheSaving";
  label: string;
  number?: boolean;
  /** In pixels; the least of them where it takes the rest. */
  width: number;
  rest?: boolean;
  cell(event: UsageEvent, zone: string | undefined): ReactNode;
  title?(event: UsageEvent, zone: string | undefined): string | undefined;
  /** What exports hold, where it is not the field itself: names and values. */
  raw?(event: UsageEvent, names: Names): [name: string, value: Cell][];
}

/** When the request ended, ms since 1970. */
export const endOf = (event: UsageEvent): number => (event.startedAt ?? 0) + (event.duration ?? 0);

/** Draws itself anew each second, so that its row need not. */
function Ago({ at, zone }: { at: number; zone: string | undefined }) {
  return ago(at, useNow(1_000), zone);
}

/** The name of a client key, or its beginning; draws itself anew when it gets one. */
function Client({ clientKey }: Pick<UsageEvent, "clientKey">) {
  const name = useNames().get(`client ${clientKey}`);
  if (name) return <span title={`${name} (${clientKey})`}>{name}</span>;
  return <span className="mono muted">{clientKey?.slice(0, 8) ?? UNKNOWN}</span>;
}

/** What is not a full report is marked, wherever its counts stand. */
const mark = (event: UsageEvent, value: number | null): string => {
  if (value === null) return UNKNOWN;
  if (event.usageSource === "USAGE_SOURCE_ESTIMATED") return `≈ ${count(value)}`;
  return event.usageSource === "USAGE_SOURCE_UPSTREAM_PARTIAL" ? `≥ ${count(value)}` : count(value);
};

const tokens = (
  id: "promptTokens" | "completionTokens" | "cachedPromptTokens" | "reasoningTokens",
  label: string,
  width = 72,
): Column => ({
  id,
  label,
  number: true,
  width,
  cell: (event) => mark(event, event[id]),
  title: (event) => (event[id] === null ? USAGE_SOURCES[event.usageSource].meaning : exact(event[id])),
});

/** "≈ $0.0042". */
const costOf = ({ cost }: UsageEvent): string =>
  cost?.nanoUsd == null
    ? UNKNOWN
    : `${cost.source === "COST_SOURCE_ESTIMATED" ? "≈ " : ""}${money(cost.nanoUsd)}`;

const COST_TITLES: Partial<Record<NonNullable<UsageEvent["cost"]>["source"], string>> = {
  COST_SOURCE_UPSTREAM: ", reported by the upstream",
  COST_SOURCE_TABLE: ", by the price list",
  COST_SOURCE_ESTIMATED: ", an estimate",
  COST_SOURCE_NOT_DUE: "Nothing is due",
};

const costTitle = ({ cost }: UsageEvent): string => {
  const words = COST_TITLES[cost?.source ?? "COST_SOURCE_UNSPECIFIED"] ?? "The cost is unknown";
  return cost?.nanoUsd == null ? words.replace(/^, /, "") : `${exactDollars(cost.nanoUsd)}${words}`;
};

export const COLUMNS: Column[] = [
  {
    id: "startedAt",
    label: "Ended",
    width: 132,
    cell: (event, zone) => <Ago at={endOf(event)} zone={zone} />,
    title: (event, zone) =>
      `Started ${dateTime(event.startedAt, zone)}, ended ${dateTime(endOf(event), zone)}`,
  },
  {
    id: "outcome",
    label: "Status",
    width: 124,
    cell: (event) => <Status {...outcomeWords(event)} title={event.errorType ?? undefined} />,
  },
  {
    id: "model",
    label: "Model",
    width: 150,
    rest: true,
    cell: (event) => event.model ?? event.modelRequested ?? <span className="muted">{UNKNOWN}</span>,
    title: (event) => event.model ?? event.modelRequested ?? undefined,
  },
  {
    id: "clientKey",
    label: "Client",
    width: 92,
    cell: (event) => <Client clientKey={event.clientKey} />,
    title: (event) => event.clientKey ?? "No key was sent",
    raw: ({ clientKey }, names) => [
      ["clientKey", clientKey],
      ["clientKeyName", names.get(`client ${clientKey}`) ?? null],
    ],
  },
  {
    id: "path",
    label: "Endpoint",
    width: 152,
    cell: (event) => <span className="muted">{event.path}</span>,
    title: (event) => `${event.method} ${event.path}, ${event.dialect}${event.stream ? ", streamed" : ""}`,
  },
  tokens("promptTokens", "Prompt"),
  tokens("completionTokens", "Completion", 88),
  tokens("cachedPromptTokens", "Cached"),
  {
    id: "usageSource",
    label: "Usage",
    width: 112,
    cell: (event) => <span className="muted">{USAGE_SOURCES[event.usageSource].text}</span>,
    title: (event) => USAGE_SOURCES[event.usageSource].meaning,
  },
  {
    id: "firstToken",
    label: "First token",
    number: true,
    width: 88,
    cell: (event) => duration(event.firstToken),
  },
  {
    id: "decodeTokensPerSecond",
    label: "Tok/s",
    number: true,
    width: 64,
    cell: (event) => rate(event.decodeTokensPerSecond),
    title: (event) =>
      event.decodeTokensPerSecond === null
        ? "Not measurable"
        : event.speedSource === "SPEED_SOURCE_UPSTREAM"
          ? "Decode rate as the upstream reported it"
          : "Decode rate measured on the stream",
  },
  {
    id: "duration",
    label: "Duration",
    number: true,
    width: 84,
    cell: (event) => duration(event.duration),
  },
  {
    id: "responseBytes",
    label: "Answer",
    number: true,
    width: 80,
    cell: (event) => bytes(event.responseBytes),
  },
  {
    id: "cost",
    label: "Cost",
    number: true,
    width: 108,
    cell: costOf,
    title: costTitle,
    raw: ({ cost }) => [
      ["costNanoUsd", cost?.nanoUsd ?? null],
      ["costUsd", inDollars(cost?.nanoUsd)],
      ["costSource", cost?.source ?? null],
      ["priceVersion", cost?.priceVersion ?? null],
    ],
  },
  {
    id: "cacheSaving",
    label: "Saved",
    number: true,
    width: 84,
    cell: ({ cost }) => money(cost?.cacheSavingNanoUsd),
    title: ({ cost }) => savedTitle(cost?.cacheSavingNanoUsd),
    raw: ({ cost }) => [
      ["cacheSavingNanoUsd", cost?.cacheSavingNanoUsd ?? null],
      ["cacheSavingUsd", inDollars(cost?.cacheSavingNanoUsd)],
    ],
  },
];
