// A table that the server orders and cuts into pages: heads that it can order by are
// buttons, the largest first.
import type { ReactNode } from "react";
import { exact } from "../lib/format.ts";
import { useView } from "../lib/view.ts";
import styles from "./data-table.module.css";
import { Button } from "./panel.tsx";

export interface RankedColumn<Row> {
  id: string;
  label: string;
  /** Whether the server orders by it; its id is then the name in the URL. */
  ranks?: boolean;
  number?: boolean;
  cell: (row: Row) => ReactNode;
  title?: (row: Row) => string;
}

/** The order of the URL, if there is a column for it; else the usual one. */
export function useOrder<Id extends string>(orders: readonly Id[]): [Id, (order: string) => void] {
  const [view, setView] = useView();
  const asked = view.get("order") as Id;
  const usual = orders[0] as Id;
  return [
    orders.includes(asked) ? asked : usual,
    (order) => setView({ order: order === usual ? null : order }),
  ];
}

export function RankedTable<Row>(props: {
  label: string;
  columns: RankedColumn<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  /** Id of the column that it is ordered by. */
  order?: string;
  onOrder?: (order: string) => void;
  minWidth: number;
  /** It scrolls where it is higher. */
  maxHeight?: number;
}) {
  const { columns, order } = props;
  return (
    <section
      className={styles.scroll}
      aria-label={props.label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
      style={props.maxHeight ? { maxHeight: props.maxHeight, overflow: "auto" } : {}}
    >
      <table className={styles.table} style={{ minWidth: props.minWidth }}>
        <thead>
          <tr>
            {columns.map(({ id, label, ranks, number }) => (
              <th
                key={id}
                scope="col"
                className={number ? "number" : undefined}
                aria-sort={order === id ? "descending" : undefined}
              >
                {ranks ? (
                  <button type="button" className={styles.sort} onClick={() => props.onOrder?.(id)}>
                    {label}
                    <span aria-hidden="true">{order === id ? " ↓" : ""}</span>
                  </button>
                ) : (
                  label
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={props.rowKey(row)}>
              {columns.map(({ id, number, cell, title }, at) => {
                const Cell = at === 0 ? "th" : "td";
                return (
                  <Cell
                    key={id}
                    scope={at === 0 ? "row" : undefined}
                    className={number ? "number" : id === "trend" ? styles.spark : "cut"}
                    title={title?.(row)}
                  >
                    {cell(row)}
                  </Cell>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** Number of the page of the URL, from 1. */
export const pageOf = (page: string | null): number => Math.max(1, Math.floor(Number(page)) || 1);

/** "51–100 of 4,021" and the ways to the pages beside it. */
export function Pager({ what, size, total }: { what: string; size: number; total: number }) {
  const [view, setView] = useView();
  const page = pageOf(view.get("page"));
  if (total <= size && page === 1) return null;
  const first = (page - 1) * size + 1;
  const go = (to: number) => setView({ page: to > 1 ? String(to) : null });
  return (
    <nav aria-label={`Pages of ${what}`} className={styles.pages}>
      <span className="muted">
        {first > total ? "" : `${exact(first)}–${exact(Math.min(first + size - 1, total))} `}of {exact(total)}
      </span>
      <Button quiet disabled={page <= 1} onClick={() => go(page - 1)} aria-label="Page before">
        ←
      </Button>
      <Button quiet disabled={first + size > total} onClick={() => go(page + 1)} aria-label="Next page">
        →
      </Button>
    </nav>
  );
}
