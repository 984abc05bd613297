// The largest models of the range: a bar of their tokens and their speed. A
// click narrows everything to that model.
import type { ReactNode } from "react";
import { Link } from "wouter";
import type { Answer, ModelRow } from "../../api/types.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Empty, Panel, QueryState } from "../../components/panel.tsx";
import type { Sheet } from "../../lib/download.ts";
import { count, duration, exact, percent, rate } from "../../lib/format.ts";
import { boundMark, isLowerBound, knownTokens, tokensOf } from "../../lib/usage.ts";
import { useHref, useView, without } from "../../lib/view.ts";
import styles from "./model-bars.module.css";
import { otherName, useModelBreakdown } from "./use-model-breakdown.ts";

const ROWS = 8;

export function ModelBars() {
  const query = useModelBreakdown(ROWS);
  const href = useHref();
  const total = query.data?.total ?? 0;
  const rows = query.data?.rows;
  return (
    <Panel
      title="Models"
      busy={query.isPlaceholderData && query.isFetching}
      controls={
        <>
          <Link href={href("/models")}>{total > ROWS ? `All ${total} models` : "Compare models"}</Link>
          <ExportMenu what="largest models" sheet={rows && (() => barsSheet(rows))} />
        </>
      }
    >
      <QueryState query={query} what="models" height={300}>
        {(data) =>
          data.rows.length === 0 ? (
            <Empty title="No models in this range" height={300} />
          ) : (
            <Table {...data} />
          )
        }
      </QueryState>
    </Panel>
  );
}

const SHOWN = [
  "model",
  "promptTokens",
  "cachedPromptTokens",
  "completionTokens",
  "requests",
  "timeToFirstTokenMsP50",
  "decodeTokensPerSecondP50",
] as const;

const barsSheet = (rows: ModelRow[]): Sheet => ({
  names: [...SHOWN],
  rows: rows.map((row) => SHOWN.map((name) => row[name])),
});

function Table({ rows, other, total }: Answer<"ModelBreakdown">) {
  const [view, setView] = useView();
  const href = useHref();
  const largest = Math.max(...rows.map(tokensOf), other ? tokensOf(other) : 0, 1);
  const row = (row: ModelRow, name: ReactNode) => (
    <tr key={row === other ? "other" : `model ${row.model}`}>
      <th scope="row" className={styles.name}>
        {name}
      </th>
      <td className={styles.barColumn}>
        <Bar row={row} largest={largest} />
      </td>
      <td className="number" title={exact(knownTokens(tokensOf(row), row))}>
        {boundMark(knownTokens(tokensOf(row), row), isLowerBound(row))}
        {count(knownTokens(tokensOf(row), row))}
      </td>
      <td
        className="number"
        title={`${exact(row.requests)}, ${percent(row.share)} of all; ${percent(row.errorShare)} failed`}
      >
        {row.model ? (
          <Link href={href("/requests", { model: [row.model] })}>{count(row.requests)}</Link>
        ) : (
          count(row.requests)
        )}
      </td>
      <td className={`number ${styles.wide}`} title="Median time to first token">
        {duration(row.timeToFirstTokenMsP50)}
      </td>
      <td className="number" title="Median decode rate of single requests">
        {rate(row.decodeTokensPerSecondP50)}
      </td>
    </tr>
  );
  return (
    <table className={styles.table}>
      <thead>
        <tr>
          <th scope="col">Model</th>
          <th scope="col" className={styles.barColumn}>
            <span className="hidden">Tokens as a bar</span>
          </th>
          <th scope="col" className="number">
            Tokens
          </th>
          <th scope="col" className="number">
            Requests
          </th>
          <th scope="col" className={`number ${styles.wide}`}>
            First token
          </th>
          <th scope="col" className="number">
            Tok/s
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((model) =>
          row(
            model,
            model.model ? (
              <button
                type="button"
                className="cut"
                title={`Only ${model.model}; with Alt all but it`}
                onClick={(event) =>
                  setView(event.altKey ? without(view, "model", model.model) : { model: [model.model] })
                }
              >
                {model.model}
              </button>
            ) : (
              <span className="muted">unnamed</span>
            ),
          ),
        )}
        {other && row(other, <span className="muted">{otherName(total - rows.length)}</span>)}
      </tbody>
    </table>
  );
}

/** Prompt, cached prompt and completion to the scale of the largest model. */
function Bar({ row, largest }: { row: ModelRow; largest: number }) {
  const parts = [
    ["var(--prompt)", row.promptTokens - row.cachedPromptTokens],
    ["var(--cached)", row.cachedPromptTokens],
    ["var(--completion)", row.completionTokens],
  ] as const;
  return (
    <span className={styles.bar} aria-hidden="true">
      {parts.map(([color, tokens]) => (
        <i key={color} style={{ width: `${(tokens / largest) * 100}%`, background: color }} />
      ))}
    </span>
  );
}
