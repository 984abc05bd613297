// A low strip of bars above a list of requests: where they are, and where they
// failed. Dragging over it narrows the range.
import { useMemo } from "react";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Panel, QueryState } from "../../components/panel.tsx";
import { TimeChart } from "../../components/time-chart.tsx";
import { count } from "../../lib/format.ts";
import { buckets } from "../../lib/time-range.ts";
import { useScope } from "../../lib/view.ts";
import { usageLines } from "./lines.ts";
import { useUsageTimeseries } from "./use-usage-timeseries.ts";

const HEIGHT = 96;

export function RequestStrip() {
  const scope = useScope();
  const query = useUsageTimeseries();
  const { data } = query;
  const chart = useMemo(
    () =>
      data && {
        name: "Requests over time",
        kind: "bars" as const,
        buckets: buckets(data, scope.moments(), scope.zone),
        lines: usageLines(data, "requests", ""),
        zone: scope.zone,
        format: count,
      },
    [data, scope],
  );
  return (
    <Panel
      title="Requests over time"
      busy={query.isPlaceholderData && query.isFetching}
      controls={<ExportMenu what="requests over time" chart={chart} />}
    >
      <QueryState query={query} what="requests over time" height={HEIGHT + 32}>
        {() =>
          chart ? (
            <TimeChart
              {...chart}
              height={HEIGHT}
              restLabel="Drag to narrow the range"
              atRest={chart.lines.map((line) =>
                count(line.values.reduce<number>((sum, value) => sum + (value ?? 0), 0)),
              )}
            />
          ) : null
        }
      </QueryState>
    </Panel>
  );
}
