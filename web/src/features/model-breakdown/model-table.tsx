// All models of the range with everything that is known of them, sortable.
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import type { Answer, ModelRow } from "../../api/types.ts";
import styles from "../../components/data-table.module.css";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Few } from "../../components/few.tsx";
import { Empty, Panel, QueryState } from "../../components/panel.tsx";
import { Sparkline } from "../../components/sparkline.tsx";
import { costText, knownCost } from "../../lib/cost.ts";
import { COST_NAMES, costCells, costTitle, savedText, savedTitle } from "../../lib/cost-words.ts";
import { momentCell, type Sheet } from "../../lib/download.ts";
import { ago, count, dateTime, duration, exact, percent, rate } from "../../lib/format.ts";
import { LEAST, MOST, usePicks } from "../../lib/picks.ts";
import { boundMark, isLowerBound, knownTokens } from "../../lib/usage.ts";
import { useNow } from "../../lib/use-now.ts";
import { modelPath, useHref, useView } from "../../lib/view.ts";

import { otherName, useModelBreakdown } from "./use-model-breakdown.ts";

type Value = number | null;

interface Column {
  id: string;
  label: string;
  value(row: ModelRow): Value;
  cell(value: Value, row: ModelRow): ReactNode;
  title?: (row: ModelRow) => string;
}

const cached = (row: ModelRow): Value =>
  row.promptTokens > 0 ? row.cachedPromptTokens / row.promptTokens : null;

const sumCell = (value: Value, row: ModelRow): string =>
  `${boundMark(value, isLowerBound(row))}${count(value)}`;

const COLUMNS: Column[] = [
  {
    id: "requests",
    label: "Requests",
    value: (row) => row.requests,
    cell: count,
    title: (row) => exact(row.requests),
  },
  { id: "share", label: "Share", value: (row) => row.share, cell: percent },
  {
    id: "prompt",
    label: "Prompt",
    value: (row) => knownTokens(row.promptTokens, row),
    cell: sumCell,
    title: (row) => exact(row.promptTokens),
  },
  {
    id: "completion",
    label: "Completion",
    value: (row) => knownTokens(row.completionTokens, row),
    cell: sumCell,
    title: (row) => exact(row.completionTokens),
  },
  {
    id: "cached",
    label: "Cached",
    value: cached,
    cell: percent,
    title: (row) => `${exact(row.cachedPromptTokens)} of the prompt tokens`,
  },
  {
    id: "decode",
    label: "Decode tok/s",
    value: (row) => row.decodeTokensPerSecondP50,
    cell: rate,
    title: () => "Median",
  },
  {
    id: "prefill",
    label: "Prefill tok/s",
    value: (row) => row.prefillTokensPerSecondP50,
    cell: rate,
    title: () => "Median",
  },
  {
    id: "first50",
    label: "First token",
    value: (row) => row.timeToFirstTokenMsP50,
    cell: duration,
    title: () => "Median",
  },
  {
    id: "first95",
    label: "First token p95",
    value: (row) => row.timeToFirstTokenMsP95,
    cell: (value, row) => <Few values={row.requests}>{duration(value)}</Few>,
    title: () => "95th percentile of the time to first token",
  },
  {
    id: "errors",
    label: "Errors",
    value: (row) => row.errorShare,
    cell: (value, row) => (
      <span className={row.failedRequests > 0 ? styles.errors : "muted"}>{percent(value)}</span>
    ),
    title: (row) => `${exact(row.failedRequests)} failed`,
  },
  {
    id: "cost",
    label: "Cost",
    value: (row) => knownCost(row.cost),
    cell: (_, row) => costText(row.cost),
    title: (row) => costTitle(row.cost),
  },
  {
    id: "saved",
    label: "Saved",
    value: (row) => row.cost?.cacheSavingNanoUsd || null,
    cell: (_, row) => savedText(row.cost),
    title: (row) => savedTitle(row.cost?.cacheSavingNanoUsd),
  },
  {
    id: "without",
    label: "No usage",
    value: (row) => row.requestsWithoutUsage,
    cell: (value) => (value ? count(value) : <span className="muted">0</span>),
    title: () => "Successful requests whose answer carried no usage",
  },
];

export function ModelTable() {
  const query = useModelBreakdown(1_000);
  const { picks } = usePicks();
  const rows = query.data?.rows;
  return (
    <Panel
      title="All models"
      controls={<ExportMenu what="models" sheet={rows && (() => modelsSheet(rows))} />}
      note={query.data ? `${count(query.data.total)}${pickHint(picks.length)}` : ""}
      busy={query.isPlaceholderData && query.isFetching}
    >
      <QueryState query={query} what="models" height={400}>
        {(data) =>
          data.rows.length === 0 ? (
            <Empty title="No models in this range" height={400} />
          ) : (
            <Table {...data} />
          )
        }
      </QueryState>
    </Panel>
  );
}

/** Numbers of requests lead to them. */
function Cell(props: { row: ModelRow; id: string; own: boolean; children: ReactNode }) {
  const { row, id, own, children } = props;
  const href = useHref();
  const failed = id === "errors" && row.failedRequests > 0;
  if (!own || !row.model || !(failed || id === "requests")) return children;
  const filters = { model: [row.model], ...(failed ? { status: ["error"] } : {}) };
  return <Link href={href("/requests", filters)}>{children}</Link>;
}

const pickHint = (picked: number): string =>
  picked === 0
    ? ` · tick ${LEAST} to ${MOST} to compare them`
    : picked < LEAST
      ? " · tick another one to compare"
      : "";

/** Columns of costs are there once one is known. */
const shownColumns = (rows: ModelRow[]): Column[] =>
  rows.some(({ cost }) => knownCost(cost) !== null)
    ? COLUMNS
    : COLUMNS.filter(({ id }) => id !== "cost" && id !== "saved");

/** Every column, raw. */
const modelsSheet = (rows: ModelRow[]): Sheet => {
  const columns = COLUMNS.filter(({ id }) => id !== "cost" && id !== "saved");
  return {
    names: ["model", ...columns.map(({ id }) => id), ...COST_NAMES, "lastSeenAt"],
    rows: rows.map((row) => [
      row.model,
      ...columns.map(({ value }) => value(row)),
      ...costCells(row.cost),
      momentCell(row.lastSeenAt),
    ]),
  };
};

function Table({ rows, other, total }: Answer<"ModelBreakdown">) {
  const [view] = useView();
  const href = useHref();
  const { picks, toggle } = usePicks();
  const [sort, setSort] = useState({ by: "requests", down: true });
  const now = useNow(1_000);
  const columns = shownColumns(rows);
  const column = columns.find(({ id }) => id === sort.by);
  const sorted = [...rows].sort((a, b) => {
    if (!column) return a.model.localeCompare(b.model) * (sort.down ? 1 : -1);
    const [x, y] = [column.value(a), column.value(b)];
    // Unknown comes last, whichever way round.
    if (x === null || y === null) return Number(x === null) - Number(y === null);
    return sort.down ? y - x : x - y;
  });
  const head = (id: string, label: string, number: boolean) => (
    <th
      key={id}
      scope="col"
      className={number ? "number" : undefined}
      aria-sort={sort.by === id ? (sort.down ? "descending" : "ascending") : undefined}
    >
      <button
        type="button"
        className={styles.sort}
        onClick={() => setSort({ by: id, down: sort.by === id ? !sort.down : true })}
      >
        {label}
        <span aria-hidden="true">{sort.by === id ? (sort.down ? " ↓" : " ↑") : ""}</span>
      </button>
    </th>
  );
  return (
    <section
      className={styles.scroll}
      aria-label="Models"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
    >
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col" title={`Choose ${LEAST} to ${MOST} models to compare`}>
              <span className="hidden">Compare</span>
            </th>
            {head("model", "Model", false)}
            <th scope="col" title="Requests over the range">
              Trend
            </th>
            {columns.map(({ id, label }) => head(id, label, true))}
            <th scope="col" className="number">
              Last used
            </th>
          </tr>
        </thead>
        <tbody>
          {[...sorted, ...(other ? [other] : [])].map((row) => (
            <tr key={row === other ? "other" : `model ${row.model}`}>
              <td className={styles.pick}>
                {row === other || !row.model ? null : (
                  <label>
                    <input
                      type="checkbox"
                      aria-label={`Compare ${row.model}`}
                      checked={picks.includes(row.model)}
                      disabled={picks.length >= MOST && !picks.includes(row.model)}
                      onChange={() => toggle(row.model)}
                    />
                  </label>
                )}
              </td>
              <th scope="row" className="cut">
                {row === other ? (
                  <span className="muted">{otherName(total - rows.length)}</span>
                ) : row.model ? (
                  <Link href={href(modelPath(row.model))} title={`All of ${row.model}`}>
                    {row.model}
                  </Link>
                ) : (
                  <span className="muted">unnamed</span>
                )}
              </th>
              <td className={styles.spark}>
                <Sparkline values={row.sparkline} height={20} color="var(--muted)" />
              </td>
              {columns.map(({ id, value, cell, title }) => (
                <td key={id} className="number" title={title?.(row)}>
                  <Cell row={row} id={id} own={row !== other}>
                    {cell(value(row), row)}
                  </Cell>
                </td>
              ))}
              <td className="number" title={dateTime(row.lastSeenAt, view.zone)}>
                {ago(row.lastSeenAt, now, view.zone)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
