// Requests by whom or what they belong to: clients, users, upstreams, tags and more, page by page.
import { Link } from "wouter";
import type { BreakdownRow, Payload } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import styles from "../../components/data-table.module.css";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Few } from "../../components/few.tsx";
import { Empty, Panel, QueryState, Select } from "../../components/panel.tsx";
import { Pager, pageOf, type RankedColumn, RankedTable, useOrder } from "../../components/ranked-table.tsx";
import { Rename } from "../../components/rename.tsx";
import { Sparkline } from "../../components/sparkline.tsx";
import { costText, knownCost } from "../../lib/cost.ts";
import { COST_NAMES, costCells, costTitle, savedText, savedTitle } from "../../lib/cost-words.ts";
import { momentCell, type Sheet } from "../../lib/download.ts";
import { ago, count, dateTime, duration, exact, percent, rate } from "../../lib/format.ts";
import { KINDS, type Names, nameOf, useNames } from "../../lib/names.tsx";
import { boundMark, isLowerBound, knownTokens, tokensOf } from "../../lib/usage.ts";
import { useNow } from "../../lib/use-now.ts";
import { useHref, useScope, useView } from "../../lib/view.ts";
import { byOf, DIMENSIONS, rowFilter, rowName, tagIn, USUAL } from "./dimensions.ts";

const SIZE = 50;
const HEIGHT = 400;
type Order = NonNullable<Payload<"Breakdown">["order"]>;
const ORDERS: Record<string, Order> = {
  requests: "BREAKDOWN_ORDER_REQUESTS",
  tokens: "BREAKDOWN_ORDER_TOTAL_TOKENS",
  completion: "BREAKDOWN_ORDER_COMPLETION_TOKENS",
  errors: "BREAKDOWN_ORDER_ERROR_SHARE",
  cost: "BREAKDOWN_ORDER_COST",
  seen: "BREAKDOWN_ORDER_LAST_SEEN",
};
const OPTIONS = [
  ...Object.entries(DIMENSIONS).map(([by, { name }]) => [by, name] as const),
  ["tag:", "Tag…"],
] as const;

export function BreakdownTable() {
  const [view, setView] = useView();
  const scope = useScope();
  const asked = view.get("by") ?? USUAL;
  const tag = tagIn(asked);
  const by = tag !== null || asked in DIMENSIONS ? asked : USUAL;
  const [order, setOrder] = useOrder(Object.keys(ORDERS));
  const page = pageOf(view.get("page"));
  const query = useRpc(
    "Breakdown",
    [...scope.key, by, order, page],
    () => ({
      range: scope.range(),
      filter: scope.filter,
      timeZone: scope.zone,
      groupBy: tag ? { tag } : { dimension: byOf(by).dimension },
      order: ORDERS[order] ?? "BREAKDOWN_ORDER_REQUESTS",
      page,
      pageSize: SIZE,
    }),
    { enabled: tag !== "" },
  );
  const rows = query.data?.rows;
  const names = useNames();
  return (
    <Panel
      title="Breakdown"
      busy={query.isPlaceholderData && query.isFetching}
      controls={
        <>
          {tag !== null ? (
            <TagName key={tag} tag={tag} onChange={(name) => setView({ by: `tag:${name}` })} />
          ) : null}
          <Select
            label="By"
            value={tag === null ? by : "tag:"}
            options={OPTIONS}
            onChange={(value) => setView({ by: value === USUAL ? null : value })}
          />
          <Pager what="the breakdown" size={SIZE} total={query.data?.total ?? 0} />
          <ExportMenu
            what={`breakdown by ${by}`}
            sheet={rows?.length ? () => sheetOf(by, rows, names) : null}
          />
        </>
      }
    >
      {tag === "" ? (
        <Empty title="Which tag?" height={HEIGHT}>
          Enter the name of a tag, as in the header x-modash-tag-name.
        </Empty>
      ) : (
        <QueryState query={query} what="the breakdown" height={HEIGHT}>
          {(data) =>
            data.rows.length === 0 ? (
              <Empty title="No requests in this range" height={HEIGHT} />
            ) : (
              <Rows by={by} rows={data.rows} other={data.other} order={order} onOrder={setOrder} />
            )
          }
        </QueryState>
      )}
    </Panel>
  );
}

function TagName({ tag, onChange }: { tag: string; onChange: (tag: string) => void }) {
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onChange(String(new FormData(event.currentTarget).get("tag")).trim());
      }}
    >
      <input
        name="tag"
        className={styles.tag}
        aria-label="Name of the tag"
        placeholder="name of the tag"
        defaultValue={tag}
        size={14}
      />
    </form>
  );
}

function Rows(props: {
  by: string;
  rows: BreakdownRow[];
  other: BreakdownRow | null;
  order: string;
  onOrder: (order: string) => void;
}) {
  const { by, rows, other } = props;
  const [view] = useView();
  const href = useHref();
  const now = useNow(1_000);
  const priced = [...rows, other].some((row) => knownCost(row?.cost) !== null);
  const filterOf = (row: BreakdownRow) => (row === other ? null : rowFilter(by, row.key));
  const requests = (row: BreakdownRow, text: string, more = {}) => {
    const filter = filterOf(row);
    return filter ? (
      <Link href={href("/requests", { [filter[0]]: [filter[1]], ...more })}>{text}</Link>
    ) : (
      text
    );
  };
  const sum = (row: BreakdownRow, value: number) => {
    const known = knownTokens(value, row);
    return `${boundMark(known, isLowerBound(row))}${count(known)}`;
  };
  const columns: RankedColumn<BreakdownRow>[] = [
    { id: "name", label: byOf(by).name, cell: (row) => <Name by={by} row={row} other={row === other} /> },
    {
      id: "trend",
      label: "Trend",
      cell: (row) => <Sparkline values={row.sparkline} height={20} color="var(--muted)" />,
    },
    {
      id: "requests",
      label: "Requests",
      cell: (row) => requests(row, count(row.requests)),
      title: (row) => exact(row.requests),
    },
    { id: "share", label: "Share", cell: (row) => percent(row.share) },
    {
      id: "tokens",
      label: "Tokens",
      cell: (row) => sum(row, tokensOf(row)),
      title: (row) => exact(tokensOf(row)),
    },
    {
      id: "completion",
      label: "Completion",
      cell: (row) => sum(row, row.completionTokens),
      title: (row) => exact(row.completionTokens),
    },
    {
      id: "cached",
      label: "Cached",
      cell: (row) => percent(row.promptTokens > 0 ? row.cachedPromptTokens / row.promptTokens : null),
      title: (row) => `${exact(row.cachedPromptTokens)} of the prompt tokens`,
    },
    {
      id: "decode",
      label: "Decode tok/s",
      cell: (row) => rate(row.decodeTokensPerSecondP50),
      title: () => "Median",
    },
    {
      id: "first",
      label: "First token p95",
      cell: (row) => <Few values={row.requests}>{duration(row.timeToFirstTokenMsP95)}</Few>,
    },
    {
      id: "errors",
      label: "Errors",
      cell: (row) => (
        <span className={row.failedRequests > 0 ? styles.errors : "muted"}>
          {row.failedRequests > 0 && by !== "status"
            ? requests(row, percent(row.errorShare), { status: ["error"] })
            : percent(row.errorShare)}
        </span>
      ),
      title: (row) => `${exact(row.failedRequests)} failed`,
    },
    ...(priced
      ? [
          {
            id: "cost",
            label: "Cost",
            cell: (row: BreakdownRow) => costText(row.cost),
            title: (row: BreakdownRow) => costTitle(row.cost),
          },
          {
            id: "saved",
            label: "Saved",
            cell: (row: BreakdownRow) => savedText(row.cost),
            title: (row: BreakdownRow) => savedTitle(row.cost?.cacheSavingNanoUsd),
          },
        ]
      : []),
    {
      id: "seen",
      label: "Last used",
      cell: (row) => ago(row.lastSeenAt, now, view.zone),
      title: (row) => dateTime(row.lastSeenAt, view.zone),
    },
  ];
  return (
    <RankedTable
      label={`By ${byOf(by).name.toLowerCase()}`}
      columns={columns.map((column, at) => ({ ...column, number: at > 1, ranks: column.id in ORDERS }))}
      rows={other ? [...rows, other] : rows}
      rowKey={(row) => (row === other ? "other" : `row ${row.key}`)}
      order={props.order}
      onOrder={props.onOrder}
      minWidth={1120}
    />
  );
}

/** A click narrows the view to the row; a session and its page are one. */
function Name({ by, row, other }: { by: string; row: BreakdownRow; other: boolean }) {
  const [, setView] = useView();
  const href = useHref();
  const names = useNames();
  if (other) return <span className="muted">all others</span>;
  const name = rowName(by, row.key);
  const filter = rowFilter(by, row.key);
  if (by === "session" && row.key) return <Link href={href("/sessions", {}, { open: row.key })}>{name}</Link>;
  if (!filter) return row.key ? name : <span className="muted">{name}</span>;
  const given = nameOf(names, ...filter);
  const named = given !== filter[1];
  return (
    <Rename by={filter[0]} value={filter[1]}>
      <button
        type="button"
        className={`cut ${styles.sort} ${by === "client" && !named ? "mono" : ""}`}
        title={`Only ${named ? `${given} (${name})` : name}`}
        onClick={() => setView({ [filter[0]]: [filter[1]] })}
      >
        {named ? given : name}
      </button>
      {named ? <span className="cut mono muted">{name}</span> : null}
    </Rename>
  );
}

const RAW = [
  "requests",
  "share",
  "failedRequests",
  "promptTokens",
  "cachedPromptTokens",
  "completionTokens",
  "decodeTokensPerSecondP50",
  "timeToFirstTokenMsP95",
] as const;

const sheetOf = (by: string, rows: BreakdownRow[], names: Names): Sheet => ({
  names: [
    tagIn(by) ?? by,
    ...((byOf(by).filter ?? "") in KINDS ? ["name"] : []),
    ...RAW,
    ...COST_NAMES,
    "lastSeenAt",
  ],
  rows: rows.map((row) => [
    row.key,
    ...((byOf(by).filter ?? "") in KINDS ? [names.get(rowFilter(by, row.key)?.join(" ") ?? "") ?? null] : []),
    ...RAW.map((name) => row[name]),
    ...costCells(row.cost),
    momentCell(row.lastSeenAt),
  ]),
});
