// Single requests, page by page, those that ended last on top. Rows never move
// under a reader: new ones wait behind a button while the list is in use, or while
// more come than can be read.
import { lazy, memo, Suspense, useCallback, useMemo, useState } from "react";
import type { UsageEvent } from "../../api/types.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Button, Empty, Panel, QueryState, Select } from "../../components/panel.tsx";
import { Popover } from "../../components/popover.tsx";
import type { Cell, Sheet } from "../../lib/download.ts";
import { exact } from "../../lib/format.ts";
import { type Names, useNames } from "../../lib/names.tsx";
import { useScope, useView } from "../../lib/view.ts";
import { COLUMNS, type Column, type Field } from "./columns.tsx";
import { LastRequest } from "./last-request.tsx";
import styles from "./recent-requests.module.css";
import { useHeldRows } from "./use-held-rows.ts";
import { useRecentRequests } from "./use-recent-requests.ts";

const ColumnChoices = lazy(() => import("./column-choices.tsx"));

const SIZES = [
  ["25", "25 a page"],
  ["50", "50 a page"],
  ["100", "100 a page"],
] as const;
const ROW_HEIGHT = 32;
/** Padding at both ends of a row. */
const EDGES = 20;

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
  const cols = props.pageSize ? null : view.get("cols");
  const shown = useMemo(() => readColumns(cols, props.columns), [cols, props.columns]);
  const page = Math.max(1, Math.floor(Number(view.get("page")) || 1));
  const query = useRecentRequests(page, pageSize);
  const scope = useScope();
  const names = useNames();
  const [inUse, setInUse] = useState(false);
  const held = useHeldRows(query, JSON.stringify([scope.key, page, pageSize]), inUse || page > 1);
  // Of the usual columns, that of the cost waits until one is known.
  const costless = !cols && !held.rows.some(({ cost }) => cost?.nanoUsd != null);
  const columns = useMemo(() => (costless ? shown.filter((id) => id !== "cost") : shown), [shown, costless]);
  const total = query.data?.total ?? 0;
  const pages = Math.max(1, Math.ceil(total / pageSize));
  const height = (Math.min(pageSize, 25) + 1) * ROW_HEIGHT;
  const go = (to: number) => setView({ page: to > 1 ? String(to) : null });
  return (
    <Panel
      title="Recent requests"
      busy={query.isPlaceholderData && query.isFetching}
      controls={
        <>
          {held.waiting ? (
            <Button quiet className={styles.newer} onClick={held.show}>
              {held.waiting} new
            </Button>
          ) : null}
          {props.controls}
          <ExportMenu
            what="requests"
            sheet={held.rows.length > 0 ? () => requestsSheet(held.rows, columns, names) : null}
          />
          {props.pageSize ? null : (
            <Popover quiet name="Columns" label="Columns">
              {() => (
                <Suspense>
                  <ColumnChoices
                    shown={columns}
                    onChange={(cols) => setView({ cols: cols && [...cols], page: String(page) }, true)}
                  />
                </Suspense>
              )}
            </Popover>
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
        {() =>
          held.rows.length === 0 ? (
            <Empty
              title={page > 1 ? "There are no requests on this page" : "No requests in this range"}
              height={height}
            >
              {page > 1 ? <Button onClick={() => go(1)}>To the newest</Button> : <LastRequest />}
            </Empty>
          ) : (
            <Table
              rows={held.rows}
              columns={columns}
              onOpen={props.onOpen}
              minHeight={height}
              onUse={setInUse}
            />
          )
        }
      </QueryState>
    </Panel>
  );
}

const columnsOf = (ids: readonly string[]): Column[] =>
  ids.flatMap((id) => COLUMNS.find((column) => column.id === id) ?? []);

/** Columns of the URL in their order; the given ones where it names none that there is. */
function readColumns(cols: string | null, usual: readonly string[]): readonly string[] {
  const known = (cols ?? "").split(",").filter((id) => COLUMNS.some((column) => column.id === id));
  return known.length > 0 ? [...new Set(known)] : usual;
}

/** The rows of this page with the columns shown, raw. */
function requestsSheet(rows: UsageEvent[], columns: readonly string[], names: Names): Sheet {
  const shown = columnsOf(columns);
  const cells = (event: UsageEvent): [string, Cell][] => [
    ["eventId", event.eventId],
    ...shown.flatMap(({ id, raw }): [string, Cell][] => {
      if (raw) return raw(event, names);
      if (id === "startedAt" && event.startedAt) return [[id, new Date(event.startedAt)]];
      return [[id, event[id as Field]]];
    }),
  ];
  return {
    names: rows[0] ? cells(rows[0]).map(([name]) => name) : [],
    rows: rows.map((event) => cells(event).map(([, value]) => value)),
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
  /** Whether the pointer or the focus is in the list. */
  onUse: (inUse: boolean) => void;
}) {
  const [view] = useView();
  const ids = props.columns.join();
  const columns = useMemo(() => columnsOf(ids.split(",")), [ids]);
  const { onUse } = props;
  const use = useCallback(() => onUse(true), [onUse]);
  const leave = useCallback(() => onUse(false), [onUse]);
  return (
    <section
      className={styles.scroll}
      aria-label="List of requests"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
      style={{ minHeight: props.minHeight }}
      onPointerEnter={use}
      onPointerLeave={leave}
      onFocus={use}
      onBlur={leave}
    >
      <table
        className={styles.table}
        // A column for the model is there at every width: what is too wide scrolls.
        style={{ minWidth: columns.reduce((sum, { width }) => sum + width, EDGES) }}
      >
        <colgroup>
          {columns.map((column) => (
            <col key={column.id} style={column.rest ? {} : { width: column.width }} />
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
            <Row key={event.eventId} event={event} columns={columns} zone={view.zone} onOpen={props.onOpen} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

interface RowProps {
  event: UsageEvent;
  columns: Column[];
  zone: string | undefined;
  onOpen: ((event: UsageEvent) => void) | undefined;
}

/** A request that ended does not change any more: the same id is the same row, though each answer makes it anew. */
const sameRow = (a: RowProps, b: RowProps): boolean =>
  a.event.eventId === b.event.eventId &&
  a.columns === b.columns &&
  a.zone === b.zone &&
  a.onOpen === b.onOpen;

const Row = memo(function Row(props: RowProps) {
  const { event, columns, zone, onOpen } = props;
  return (
    <tr data-open={onOpen ? "" : undefined}>
      {columns.map((column, at) => (
        <td
          key={column.id}
          data-label={column.label}
          className={column.number ? "number" : "cut"}
          title={column.title?.(event, zone)}
        >
          {at === 0 && onOpen ? (
            <button type="button" data-row className={styles.open} onClick={() => onOpen(event)}>
              {column.cell(event, zone)}
            </button>
          ) : (
            column.cell(event, zone)
          )}
        </td>
      ))}
    </tr>
  );
}, sameRow);
