// The columns of a request: heading, cell and the raw value for exports.
import type { ReactNode } from "react";
import type { UsageEvent } from "../../api/types.ts";
import { Status } from "../../components/status.tsx";
import { ago, bytes, count, dateTime, duration, exact, rate, UNKNOWN } from "../../lib/format.ts";
import { outcomeWords, USAGE_SOURCES } from "../../lib/outcome.ts";

export interface Context {
  now: number;
  zone: string | undefined;
}

/** Fields of a request that are single values: the names that URLs and exports know them by. */
type Field = {
  [K in keyof UsageEvent]: UsageEvent[K] extends string | number | boolean | null ? K : never;
}[keyof UsageEvent];

export interface Column {
  id: Field;
  label: string;
  number?: boolean;
  width: string;
  cell(event: UsageEvent, context: Context): ReactNode;
  title?(event: UsageEvent, context: Context): string | undefined;
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
): Column => ({
  id,
  label,
  number: true,
  width: "88px",
  cell: (event) => mark(event, event[id]),
  title: (event) => (event[id] === null ? USAGE_SOURCES[event.usageSource].meaning : exact(event[id])),
});

export const COLUMNS: Column[] = [
  {
    id: "startedAt",
    label: "Time",
    width: "108px",
    cell: (event, { now, zone }) => ago(event.startedAt, now, zone),
    title: (event, { zone }) => dateTime(event.startedAt, zone),
  },
  {
    id: "outcome",
    label: "Status",
    width: "124px",
    cell: (event) => <Status {...outcomeWords(event)} title={event.errorType ?? undefined} />,
  },
  {
    id: "model",
    label: "Model",
    width: "auto",
    cell: (event) => event.model ?? event.modelRequested ?? <span className="muted">{UNKNOWN}</span>,
    title: (event) => event.model ?? event.modelRequested ?? undefined,
  },
  {
    id: "clientKey",
    label: "Client",
    width: "92px",
    cell: (event) => <span className="mono muted">{event.clientKey?.slice(0, 8) ?? UNKNOWN}</span>,
    title: (event) => event.clientKey ?? "No key was sent",
  },
  {
    id: "path",
    label: "Endpoint",
    width: "208px",
    cell: (event) => <span className="muted">{event.path}</span>,
    title: (event) => `${event.method} ${event.path}, ${event.dialect}${event.stream ? ", streamed" : ""}`,
  },
  tokens("promptTokens", "Prompt"),
  tokens("completionTokens", "Completion"),
  tokens("cachedPromptTokens", "Cached"),
  {
    id: "usageSource",
    label: "Usage",
    width: "116px",
    cell: (event) => <span className="muted">{USAGE_SOURCES[event.usageSource].text}</span>,
    title: (event) => USAGE_SOURCES[event.usageSource].meaning,
  },
  {
    id: "firstToken",
    label: "First token",
    number: true,
    width: "88px",
    cell: (event) => duration(event.firstToken),
  },
  {
    id: "decodeTokensPerSecond",
    label: "Tok/s",
    number: true,
    width: "64px",
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
    width: "80px",
    cell: (event) => duration(event.duration),
  },
  {
    id: "responseBytes",
    label: "Answer",
    number: true,
    width: "80px",
    cell: (event) => bytes(event.responseBytes),
  },
];
