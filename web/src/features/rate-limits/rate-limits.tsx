// What is left of the upstreams' rate limits, by upstream and key, as their last
// responses stated it. Nothing is shown where no response states any.
import type { Filter, RateLimitRow, RefusalRow } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { Panel } from "../../components/panel.tsx";
import { type RankedColumn, RankedTable } from "../../components/ranked-table.tsx";
import { Sparkline } from "../../components/sparkline.tsx";
import { ago, count, dateTime, duration, exact, percent, UNKNOWN } from "../../lib/format.ts";
import { useNow } from "../../lib/use-now.ts";
import { useScope, useView } from "../../lib/view.ts";
import styles from "./rate-limits.module.css";

const EVERY_MS = 10_000;
const MOST = 100;
/** Less than this is little. */
const LITTLE = 0.1;

type Row = Partial<RateLimitRow> &
  Pick<RateLimitRow, "upstream" | "clientKey"> & { refusal: RefusalRow | undefined };

/** "input tokens, minute" */
const nameOf = ({ kind, window }: Row) => {
  if (!kind) return "none stated";
  const words = kind.slice("RATE_LIMIT_KIND_".length).toLowerCase().replace("_", " ");
  return window ? `${words}, ${window}` : words;
};
const whose = (row: Pick<Row, "upstream" | "clientKey">) => `${row.upstream}\n${row.clientKey}`;

/** Limits are of upstreams and keys only. */
const only = ({ upstreams, clientKeys }: Filter) => ({
  ...(upstreams && { upstreams }),
  ...(clientKeys && { clientKeys }),
});

export function RateLimits() {
  const scope = useScope();
  const query = useRpc(
    "RateLimits",
    scope.key,
    () => ({
      range: scope.range(),
      filter: { ...only(scope.filter), exclude: only(scope.filter.exclude ?? {}) },
      limit: MOST,
    }),
    { every: EVERY_MS, past: true },
  );
  const { data } = query;
  if (!data || data.rows.length + data.refusals.length === 0) return null;
  const refusals = new Map(data.refusals.map((refusal) => [whose(refusal), refusal]));
  const stated = new Set(data.rows.map(whose));
  const rows: Row[] = [
    ...data.rows.map((row) => ({ ...row, refusal: refusals.get(whose(row)) })),
    ...data.refusals
      .filter((refusal) => !stated.has(whose(refusal)))
      .map((refusal) => ({
        upstream: refusal.upstream,
        clientKey: refusal.clientKey,
        refusal,
      })),
  ];
  const beyond = data.total - data.rows.length;
  return (
    <Panel
      title="Rate limits"
      note={
        beyond > 0 ? `the ${exact(MOST)} lowest of ${exact(data.total)}` : "as responses last stated them"
      }
      busy={query.isPlaceholderData && query.isFetching}
    >
      <Table rows={rows} />
    </Panel>
  );
}

function Table({ rows }: { rows: Row[] }) {
  const [{ zone }] = useView();
  const now = useNow(1_000);
  const columns: RankedColumn<Row>[] = [
    { id: "upstream", label: "Upstream", cell: (row) => row.upstream },
    {
      id: "key",
      label: "Client",
      cell: (row) => <span className="mono muted">{row.clientKey?.slice(0, 8) ?? "no key"}</span>,
      title: (row) => row.clientKey ?? "No key was sent",
    },
    { id: "limit", label: "Limit", cell: nameOf },
    { id: "headroom", label: "Left", cell: (row) => <Headroom row={row} /> },
    {
      id: "resets",
      label: "Resets",
      number: true,
      cell: ({ resetsAt }) => {
        if (resetsAt == null) return UNKNOWN;
        return resetsAt > now ? `in ${duration(resetsAt - now)}` : <span className="muted">has reset</span>;
      },
      title: ({ resetsAt }) => dateTime(resetsAt, zone),
    },
    {
      id: "lowest",
      label: "Lowest",
      number: true,
      cell: (row) => percent(row.lowestHeadroom),
      title: (row) =>
        row.lowestAt == null ? "" : `${exact(row.lowestRemaining)} left, ${dateTime(row.lowestAt, zone)}`,
    },
    {
      id: "trend",
      label: "Lowest over time",
      cell: (row) => <Sparkline values={row.sparkline ?? []} max={1} height={24} />,
    },
    {
      id: "refused",
      label: "Refused",
      number: true,
      cell: ({ refusal }) => count(refusal?.requests ?? 0),
      title: ({ refusal }) =>
        refusal
          ? `Last ${dateTime(refusal.lastSeenAt, zone)}${refusal.retryAt == null ? "" : `, to be tried again ${dateTime(refusal.retryAt, zone)}`}`
          : "Responses with 429",
    },
    {
      id: "seen",
      label: "Seen",
      number: true,
      cell: ({ lastSeenAt, refusal }) => ago(lastSeenAt ?? refusal?.lastSeenAt, now, zone),
    },
  ];
  return (
    <RankedTable
      label="Rate limits by upstream and client key"
      columns={columns}
      rows={rows}
      rowKey={(row) => `${whose(row)}\n${row.kind}\n${row.window}`}
      minWidth={960}
      maxHeight={420}
    />
  );
}

function Headroom({ row: { headroom, remaining, limit } }: { row: Row }) {
  const of = limit == null ? "" : ` of ${count(limit)}`;
  const amount = remaining == null ? "" : `${count(remaining)}${of}`;
  if (headroom == null) return amount || UNKNOWN;
  return (
    <span className={styles.headroom} title={amount}>
      <span className={styles.bar} aria-hidden="true">
        <span
          className={headroom < LITTLE ? styles.little : undefined}
          style={{ width: `${headroom * 100}%` }}
        />
      </span>
      {percent(headroom)} <span className="muted">{amount}</span>
    </span>
  );
}
