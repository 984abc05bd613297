// The sessions of agents and conversations that ran in the range, page by page.
import { Link } from "wouter";
import type { Payload, SessionRow } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import styles from "../../components/data-table.module.css";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Empty, Panel, QueryState } from "../../components/panel.tsx";
import { Pager, pageOf, type RankedColumn, RankedTable, useOrder } from "../../components/ranked-table.tsx";
import { costText, knownCost } from "../../lib/cost.ts";
import { COST_NAMES, costCells, costTitle } from "../../lib/cost-words.ts";
import { momentCell, type Sheet } from "../../lib/download.ts";
import { ago, count, dateTime, duration, exact, percent } from "../../lib/format.ts";
import { tokensOf } from "../../lib/usage.ts";
import { useNow } from "../../lib/use-now.ts";
import { useHref, useScope, useView } from "../../lib/view.ts";

const SIZE = 50;
const HEIGHT = 400;
type Order = NonNullable<Payload<"Sessions">["order"]>;
const ORDERS: Record<string, Order> = {
  seen: "SESSION_ORDER_LAST_SEEN",
  requests: "SESSION_ORDER_REQUESTS",
  tokens: "SESSION_ORDER_TOTAL_TOKENS",
  model: "SESSION_ORDER_MODEL_TIME",
  cost: "SESSION_ORDER_COST",
};
/** What the sums of sessions cannot be narrowed to. */
const NOT_HERE = ["status", "trace", "prompt", "not.status", "not.session"] as const;

/** From the start of its first request to the end of its last one, ms. */
export const wallTime = (row: SessionRow): number => (row.lastEndedAt ?? 0) - (row.firstStartedAt ?? 0);
export const cachedShare = (row: SessionRow): number | null =>
  row.promptTokens > 0 ? row.cachedPromptTokens / row.promptTokens : null;

export function SessionTable() {
  const [view] = useView();
  const scope = useScope();
  const [order, setOrder] = useOrder(Object.keys(ORDERS));
  const page = pageOf(view.get("page"));
  const ignored = NOT_HERE.filter((key) => view.filters[key].length > 0);
  const query = useRpc("Sessions", [...scope.key, order, page], () => {
    const { outcomes, traceIds, minPromptTokens, maxPromptTokens, exclude, ...filter } = scope.filter;
    const { outcomes: _, sessions: __, ...others } = exclude ?? {};
    return {
      range: scope.range(),
      filter: { ...filter, ...(Object.keys(others).length > 0 ? { exclude: others } : {}) },
      order: ORDERS[order] ?? "SESSION_ORDER_LAST_SEEN",
      page,
      pageSize: SIZE,
    };
  });
  const rows = query.data?.rows;
  return (
    <Panel
      title="Sessions"
      note={ignored.length > 0 ? `not filtered by ${ignored.join(", ")}` : ""}
      busy={query.isPlaceholderData && query.isFetching}
      controls={
        <>
          <Pager what="sessions" size={SIZE} total={query.data?.total ?? 0} />
          <ExportMenu what="sessions" sheet={rows?.length ? () => sheetOf(rows) : null} />
        </>
      }
    >
      <QueryState query={query} what="sessions" height={HEIGHT}>
        {(data) =>
          data.rows.length === 0 ? (
            <Empty title="No sessions in this range" height={HEIGHT}>
              A session is what a client names as such: Claude Code and Codex do, others can send the header
              x-modash-session.
            </Empty>
          ) : (
            <Rows rows={data.rows} order={order} onOrder={setOrder} />
          )
        }
      </QueryState>
    </Panel>
  );
}

function Rows({
  rows,
  order,
  onOrder,
}: {
  rows: SessionRow[];
  order: string;
  onOrder: (order: string) => void;
}) {
  const [view] = useView();
  const href = useHref();
  const now = useNow(1_000);
  const columns: RankedColumn<SessionRow>[] = [
    {
      id: "session",
      label: "Session",
      cell: ({ session }) => <Link href={href("/sessions", {}, { open: session })}>{session}</Link>,
      title: ({ session }) => session,
    },
    {
      id: "models",
      label: "Models",
      cell: (row) => row.models.join(", "),
      title: (row) => row.models.join(", "),
    },
    {
      id: "seen",
      label: "Last request",
      cell: (row) => ago(row.lastStartedAt, now, view.zone),
      title: (row) =>
        `From ${dateTime(row.firstStartedAt, view.zone)} to ${dateTime(row.lastEndedAt, view.zone)}`,
    },
    { id: "wall", label: "Duration", number: true, cell: (row) => duration(wallTime(row)) },
    {
      id: "model",
      label: "Model time",
      number: true,
      cell: (row) => duration(row.modelTime),
      title: () => "Durations of all requests together",
    },
    {
      id: "requests",
      label: "Requests",
      number: true,
      cell: (row) => count(row.requests),
      title: (row) => exact(row.requests),
    },
    {
      id: "errors",
      label: "Errors",
      number: true,
      cell: ({ failedRequests: failed, session }) =>
        failed > 0 ? (
          <Link className={styles.errors} href={href("/requests", { session: [session], status: ["error"] })}>
            {count(failed)}
          </Link>
        ) : (
          <span className="muted">0</span>
        ),
    },
    {
      id: "tokens",
      label: "Tokens",
      number: true,
      cell: (row) => count(tokensOf(row)),
      title: (row) => `${exact(row.promptTokens)} prompt, ${exact(row.completionTokens)} completion`,
    },
    { id: "cached", label: "Cached", number: true, cell: (row) => percent(cachedShare(row)) },
    ...(rows.some(({ cost }) => knownCost(cost) !== null)
      ? [
          {
            id: "cost",
            label: "Cost",
            number: true,
            cell: (row: SessionRow) => costText(row.cost),
            title: (row: SessionRow) => costTitle(row.cost),
          },
        ]
      : []),
  ];
  return (
    <RankedTable
      label="List of sessions"
      columns={columns.map((column) => ({ ...column, ranks: column.id in ORDERS }))}
      rows={rows}
      rowKey={({ session }) => session}
      order={order}
      onOrder={onOrder}
      minWidth={1000}
    />
  );
}

const RAW = ["requests", "failedRequests", "promptTokens", "cachedPromptTokens", "completionTokens"] as const;

const sheetOf = (rows: SessionRow[]): Sheet => ({
  names: ["session", "firstStartedAt", "lastEndedAt", "modelTimeMs", ...RAW, ...COST_NAMES, "models"],
  rows: rows.map((row) => [
    row.session,
    momentCell(row.firstStartedAt),
    momentCell(row.lastEndedAt),
    row.modelTime,
    ...RAW.map((name) => row[name]),
    ...costCells(row.cost),
    row.models.join(" "),
  ]),
});
