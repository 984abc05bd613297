// The requests of a session as a table, for the keyboard and screen readers, and for exports.
import { type RankedColumn, RankedTable } from "../../components/ranked-table.tsx";
import { inDollars, money } from "../../lib/cost.ts";
import { exactDollars } from "../../lib/cost-words.ts";
import type { Sheet } from "../../lib/download.ts";
import { count, duration, time } from "../../lib/format.ts";
import { outcomeWords } from "../../lib/outcome.ts";
import { useView } from "../../lib/view.ts";
import { type Bar, costOf, type Layout, modelOf } from "./layout.ts";
import styles from "./session.module.css";

export function RequestTable({ layout, onOpen }: { layout: Layout; onOpen: (bar: Bar) => void }) {
  const [view] = useView();
  const { bars } = layout;
  const text = (id: string, label: string, cell: (bar: Bar) => string): RankedColumn<Bar> => ({
    id,
    label,
    cell,
  });
  const number = (...column: Parameters<typeof text>) => ({ ...text(...column), number: true });
  return (
    <RankedTable
      label="Requests of the session, as a table"
      columns={[
        {
          id: "started",
          label: "Started",
          cell: (bar) => (
            <button type="button" data-row className={styles.open} onClick={() => onOpen(bar)}>
              {bars.indexOf(bar) + 1} · {time(bar.start, view.zone)}
            </button>
          ),
        },
        text("lane", "Lane", (bar) => String(bar.lane + 1)),
        text("model", "Model", ({ event }) => modelOf(event) || "no model"),
        text(
          "status",
          "Status",
          ({ event, retryOf }) =>
            `${outcomeWords(event).text}${retryOf === null ? "" : `, retry of ${retryOf + 1}`}`,
        ),
        number("first", "First token", ({ event }) => duration(event.firstToken)),
        number("duration", "Duration", ({ event }) => duration(event.duration)),
        number("prompt", "Prompt", ({ event }) => count(event.promptTokens)),
        number("cached", "Cached", ({ event }) => count(event.cachedPromptTokens)),
        number("completion", "Completion", ({ event }) => count(event.completionTokens)),
        {
          ...number("cost", "Cost", ({ event }) => money(costOf(event))),
          title: ({ event }) => exactDollars(costOf(event)),
        },
      ]}
      rows={bars}
      rowKey={({ event }) => event.eventId}
      minWidth={900}
      maxHeight={520}
    />
  );
}

const RAW = [
  "outcome",
  "firstToken",
  "duration",
  "promptTokens",
  "cachedPromptTokens",
  "completionTokens",
] as const;

/** One row for each request, in the order of their starts; numbers count from 1, as the table does. */
export const requestsSheet = ({ bars }: Layout): Sheet => ({
  names: [
    ...["number", "eventId", "startedAt", "lane", "retryOf", "model"],
    ...RAW,
    ...["costNanoUsd", "costUsd", "costSource"],
  ],
  rows: bars.map(({ event, start, lane, retryOf }, at) => [
    at + 1,
    event.eventId,
    new Date(start),
    lane + 1,
    retryOf === null ? null : retryOf + 1,
    modelOf(event),
    ...RAW.map((name) => event[name]),
    costOf(event),
    inDollars(costOf(event)),
    event.cost?.source ?? null,
  ]),
});
