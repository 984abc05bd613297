// What went wrong: failed requests by error, model and upstream, each with an example.
import { Link } from "wouter";
import type { ErrorRow } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Empty, Panel, QueryState } from "../../components/panel.tsx";
import type { Sheet } from "../../lib/download.ts";
import { ago, count, dateTime, exact, percent } from "../../lib/format.ts";
import { outcomeWords } from "../../lib/outcome.ts";
import { useNow } from "../../lib/use-now.ts";
import { statusOf, useHref, useScope, useView } from "../../lib/view.ts";
import styles from "./error-table.module.css";

const HEIGHT = 120;
const EVERY_MS = 10_000;
/** Rows that are shown; the export has as many. */
const MOST = 50;

const kind = ({ outcome, errorType }: ErrorRow): string =>
  errorType ?? outcomeWords({ outcome, status: null }).text;

const sheet = (rows: ErrorRow[]): Sheet => ({
  names: [
    "outcome",
    "errorType",
    "model",
    "upstream",
    "requests",
    "share",
    "clientKeys",
    "firstStartedAt",
    "lastStartedAt",
    "sampleEventId",
  ],
  rows: rows.map((row) => [
    row.outcome,
    row.errorType,
    row.model,
    row.upstream,
    row.requests,
    row.share,
    row.clientKeys,
    moment(row.firstStartedAt),
    moment(row.lastStartedAt),
    row.sampleEventId,
  ]),
});

const moment = (at: number | null) => (at === null ? null : new Date(at));

export function ErrorTable({ onOpen }: { onOpen: (event: { eventId: string }) => void }) {
  const scope = useScope();
  const query = useRpc(
    "ErrorBreakdown",
    scope.key,
    () => ({ range: scope.range(), filter: scope.filter, limit: MOST }),
    // It reads single requests, so that not every commit asks for it.
    { every: EVERY_MS },
  );
  const { data } = query;
  const beyond = data ? data.total - data.rows.length : 0;
  return (
    <Panel
      title="Errors"
      note={data && beyond > 0 ? `the ${exact(MOST)} largest of ${exact(data.total)} kinds` : ""}
      busy={query.isPlaceholderData && query.isFetching}
      controls={<ExportMenu what="errors" sheet={data?.rows.length ? () => sheet(data.rows) : null} />}
    >
      <QueryState query={query} what="errors" height={HEIGHT}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty title="No request failed" height={HEIGHT} />
          ) : (
            <Table rows={rows} onOpen={onOpen} />
          )
        }
      </QueryState>
    </Panel>
  );
}

function Table({ rows, onOpen }: { rows: ErrorRow[]; onOpen: (event: { eventId: string }) => void }) {
  const [view] = useView();
  const href = useHref();
  const now = useNow(1_000);
  return (
    <section
      className={styles.scroll}
      aria-label="Errors by kind, model and upstream"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
    >
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">Error</th>
            <th scope="col">Model</th>
            <th scope="col">Upstream</th>
            <th scope="col" className="number">
              Requests
            </th>
            <th scope="col" className="number" title="Share of all failed requests">
              Share
            </th>
            <th scope="col" className="number" title="Different client keys">
              Clients
            </th>
            <th scope="col" className="number">
              First
            </th>
            <th scope="col" className="number">
              Last
            </th>
            <th scope="col" className="number">
              Example
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={[row.outcome, row.errorType, row.model, row.upstream].join("\n")}>
              <th scope="row" className="cut" title={outcomeWords({ ...row, status: null }).text}>
                {kind(row)}
              </th>
              <td className="cut">{row.model || <span className="muted">unnamed</span>}</td>
              <td className="cut">{row.upstream}</td>
              <td className="number" title={exact(row.requests)}>
                <Link
                  href={href("/requests", {
                    status: [statusOf(row.outcome)],
                    upstream: [row.upstream],
                    ...(row.model ? { model: [row.model] } : {}),
                  })}
                >
                  {count(row.requests)}
                </Link>
              </td>
              <td className="number">{percent(row.share)}</td>
              <td className="number">{count(row.clientKeys)}</td>
              <td className="number" title={dateTime(row.firstStartedAt, view.zone)}>
                {ago(row.firstStartedAt, now, view.zone)}
              </td>
              <td className="number" title={dateTime(row.lastStartedAt, view.zone)}>
                {ago(row.lastStartedAt, now, view.zone)}
              </td>
              <td className="number">
                {row.sampleEventId && (
                  <button
                    type="button"
                    className={styles.open}
                    aria-label={`Open the newest request with ${kind(row)}`}
                    onClick={() => onOpen({ eventId: row.sampleEventId })}
                  >
                    Open
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
