// The groups of a dimension with their sums over the range; each leads to its requests.
import { useMemo } from "react";
import { Link } from "wouter";
import type { Dimension, UsageTimeseries } from "../../api/types.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Empty, Panel, QueryState } from "../../components/panel.tsx";
import type { Sheet } from "../../lib/download.ts";
import { count, exact, percent } from "../../lib/format.ts";
import { type FilterKey, useHref } from "../../lib/view.ts";
import styles from "./group-table.module.css";
import { filterOf, groupLabel, otherLabel } from "./lines.ts";
import { useUsageTimeseries } from "./use-usage-timeseries.ts";

const HEIGHT = 120;
/** Rows; there are fewer outcomes. */
const MOST = 20;

interface Group {
  label: string;
  filter?: [FilterKey, string];
  requests: number;
  failed: number;
  tokens: number;
}

const add = (column: number[]): number => column.reduce((sum, value) => sum + value, 0);

function groups(data: UsageTimeseries, group: string): Group[] {
  const all = data.series.map((series) => ({
    label: series.other ? otherLabel(data.otherGroups, group) : groupLabel(series.key, group),
    ...filterOf(series, group),
    requests: add(series.requests),
    failed: add(series.failedRequests),
    tokens: add(series.promptTokens) + add(series.completionTokens),
  }));
  return all.filter(({ requests }) => requests > 0).sort((a, b) => b.requests - a.requests);
}

const sheet = (group: string, rows: Group[]): Sheet => ({
  names: [group, "requests", "failedRequests", "tokens"],
  rows: rows.map(({ label, requests, failed, tokens }) => [label, requests, failed, tokens]),
});

export function GroupTable(props: { title: string; group: "upstream" | "status"; by: Dimension }) {
  const { title, group } = props;
  const query = useUsageTimeseries(props.by, MOST);
  const href = useHref();
  const rows = useMemo(() => (query.data ? groups(query.data, group) : []), [query.data, group]);
  const total = rows.reduce((sum, { requests }) => sum + requests, 0);
  return (
    <Panel
      title={title}
      busy={query.isPlaceholderData && query.isFetching}
      controls={
        <ExportMenu what={title.toLowerCase()} sheet={rows.length > 0 ? () => sheet(group, rows) : null} />
      }
    >
      <QueryState query={query} what={title.toLowerCase()} height={HEIGHT}>
        {() =>
          rows.length === 0 ? (
            <Empty title="No requests in this range" height={HEIGHT} />
          ) : (
            <table className={styles.table}>
              <thead>
                <tr>
                  <th scope="col">{group === "upstream" ? "Upstream" : "Ended"}</th>
                  <th scope="col" className="number">
                    Requests
                  </th>
                  <th scope="col" className="number">
                    Share
                  </th>
                  <th scope="col" className="number">
                    {group === "upstream" ? "Failed" : "Tokens"}
                  </th>
                </tr>
              </thead>
              <tbody>
                {rows.map(({ label, filter, requests, failed, tokens }) => {
                  const last = group === "upstream" ? failed : tokens;
                  return (
                    <tr key={label}>
                      <th scope="row" className="cut">
                        {filter ? (
                          <Link href={href("/requests", { [filter[0]]: [filter[1]] })}>{label}</Link>
                        ) : (
                          label
                        )}
                      </th>
                      <td className="number" title={exact(requests)}>
                        {count(requests)}
                      </td>
                      <td className="number">{percent(requests / total)}</td>
                      <td className="number" title={exact(last)}>
                        {count(last)}
                      </td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          )
        }
      </QueryState>
    </Panel>
  );
}
