// Single requests, newest first, page by page.
import type { UsageEvent } from "../../api/types.ts";
import { ExportButtons } from "../../components/export-buttons.tsx";
import { Button, Empty, Panel, QueryState, Select } from "../../components/panel.tsx";
import { isoWithOffset } from "../../lib/download.ts";
import { exact } from "../../lib/format.ts";
import { zoneOffset } from "../../lib/time-range.ts";
import { useNow } from "../../lib/use-now.ts";
import { useView } from "../../lib/view.ts";
import { COLUMNS } from "./columns.tsx";
import { LastRequest } from "./last-request.tsx";
import styles from "./recent-requests.module.css";
import { useRecentRequests } from "./use-recent-requests.ts";

const SIZES = [
  ["25", "25 a page"],
  ["50", "50 a page"],
  ["100", "100 a page"],
] as const;
const ROW_HEIGHT = 32;

export function RecentRequests(props: {
  /** A fixed page size; else one that the reader chooses. */
  pageSize?: number;
  columns: readonly string[];
  controls?: React.ReactNode;
  onOpen?: (event: UsageEvent) => void;
}) {
  const [view, setView] = useView();
  const chosen = Number(view.get("size"));
  const pageSize = props.pageSize ?? (chosen === 50 || chosen === 100 ? chosen : 25);
  const page = Math.max(1, Math.floor(Number(view.get("page")) || 1));
  const query = useRecentRequests(page, pageSize);
  const total = query.data?.total ?? 0;
  const pages = Math.max(1, Math.ceil(total / pageSize));
  const height = (Math.min(pageSize, 25) + 1) * ROW_HEIGHT;
  const go = (to: number) => setView({ page: to > 1 ? String(to) : null });
  return (
    <Panel
      title="Recent requests"
      busy={query.isFetching && query.isPlaceholderData}
      controls={
        <>
          {props.controls}
          {props.pageSize || !query.data ? null : (
            <ExportButtons {...requestsExport(query.data.rows, props.columns, view.zone)} />
          )}
          {props.pageSize ? null : (
            <Select
              label="Page size"
              value={String(pageSize) as "25"}
              options={SIZES}
              onChange={(value) => setView({ size: value === "25" ? null : value })}
            />
          )}
          <nav aria-label="Pages of requests" className={styles.pages}>
            <span className="muted">{query.data ? position(page, pageSize, total) : ""}</span>
            <Button quiet disabled={page <= 1} onClick={() => go(page - 1)} aria-label="Newer requests">
              ←
            </Button>
            <Button quiet disabled={page >= pages} onClick={() => go(page + 1)} aria-label="Older requests">
              →
            </Button>
          </nav>
        </>
      }
    >
      <QueryState query={query} what="requests" height={height}>
        {(data) =>
          data.rows.length === 0 ? (
            <Empty
              title={page > 1 ? "There are no requests on this page" : "No requests in this range"}
              height={height}
            >
              {page > 1 ? <Button onClick={() => go(1)}>To the newest</Button> : <LastRequest />}
            </Empty>
          ) : (
            <Table rows={data.rows} columns={props.columns} onOpen={props.onOpen} minHeight={height} />
          )
        }
      </QueryState>
    </Panel>
  );
}

/** The rows of this page with the columns shown, raw. */
function requestsExport(rows: UsageEvent[], columns: readonly string[], zone: string | undefined) {
  const ids = COLUMNS.map(({ id }) => id).filter((id) => columns.includes(id));
  return {
    file: "modash-requests",
    names: ["eventId", ...ids],
    rows: () =>
      rows.map((event) => [
        event.eventId,
        ...ids.map((id) => {
          const value = event[id];
          return id === "startedAt" && typeof value === "number"
            ? isoWithOffset(value, zoneOffset(value, zone))
            : value;
        }),
      ]),
  };
}

/** "1–10 of 4,021". */
function position(page: number, size: number, total: number): string {
  if (total === 0) return "";
  const first = (page - 1) * size + 1;
  return first > total
    ? `of ${exact(total)}`
    : `${exact(first)}–${exact(Math.min(first + size - 1, total))} of ${exact(total)}`;
}

function Table(props: {
  rows: UsageEvent[];
  columns: readonly string[];
  onOpen: ((event: UsageEvent) => void) | undefined;
  minHeight: number;
}) {
  const [view] = useView();
  const context = { now: useNow(1_000), zone: view.zone };
  const columns = COLUMNS.filter((column) => props.columns.includes(column.id));
  return (
    <div className={styles.scroll} style={{ minHeight: props.minHeight }}>
      <table className={styles.table}>
        <colgroup>
          {columns.map((column) => (
            <col key={column.id} style={{ width: column.width }} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.id} scope="col" className={column.number ? "number" : undefined}>
                {column.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((event) => (
            <tr key={event.eventId} data-open={props.onOpen ? "" : undefined}>
              {columns.map((column, at) => (
                <td
                  key={column.id}
                  data-label={column.label}
                  className={column.number ? "number" : "cut"}
                  title={column.title?.(event, context)}
                >
                  {at === 0 && props.onOpen ? (
                    <button
                      type="button"
                      data-row
                      className={styles.open}
                      onClick={() => props.onOpen?.(event)}
                    >
                      {column.cell(event, context)}
                    </button>
                  ) : (
                    column.cell(event, context)
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
