// A low strip of bars above a list of requests: where they are, and where they
// failed. Dragging over it narrows the range.
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
  return (
    <Panel title="Requests over time" busy={query.isFetching && query.isPlaceholderData}>
      <QueryState query={query} what="requests over time" height={HEIGHT + 32}>
        {(data) => {
          const lines = usageLines(data, "requests", "");
          return (
            <TimeChart
              name="Requests over time"
              kind="bars"
              height={HEIGHT}
              buckets={buckets(data, scope.moments(), scope.zone)}
              lines={lines}
              zone={scope.zone}
              format={count}
              restLabel="Drag to narrow the range"
              atRest={lines.map((line) =>
                count(line.values.reduce<number>((sum, value) => sum + (value ?? 0), 0)),
              )}
            />
          );
        }}
      </QueryState>
    </Panel>
  );
}
