// How much of the prompts came from upstreams' caches, over time.
import { useMemo, useState } from "react";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Button, Empty, Panel, QueryState } from "../../components/panel.tsx";
import { TimeChart } from "../../components/time-chart.tsx";
import { percent } from "../../lib/format.ts";
import { buckets, wholeOnly } from "../../lib/time-range.ts";
import { useScope } from "../../lib/view.ts";
import { useUsageTimeseries } from "./use-usage-timeseries.ts";

const HEIGHT = 232;

export function CachedShare() {
  const scope = useScope();
  const query = useUsageTimeseries();
  const [asTable, setAsTable] = useState(false);
  const { data } = query;
  const drawn = useMemo(() => {
    const series = data?.series[0];
    if (!data || !series) return null;
    // Without prompts there is no share of them.
    const values = series.promptTokens.map((prompt, at) =>
      prompt ? (series.cachedPromptTokens[at] ?? 0) / prompt : null,
    );
    const columns = buckets(data, scope.moments(), scope.zone);
    const lines = [{ label: "cached", color: "--c1", values: wholeOnly(values, columns.partial) }];
    return {
      name: "Cached prompt, share of prompt tokens",
      kind: "lines" as const,
      buckets: columns,
      lines,
      zone: scope.zone,
      format: percent,
    };
  }, [data, scope]);
  const measured = drawn?.lines[0]?.values.some((value) => value !== null) ?? false;
  return (
    <Panel
      title="Cached prompt"
      note="share of prompt tokens"
      busy={query.isPlaceholderData && query.isFetching}
      controls={
        <>
          <Button quiet aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            {asTable ? "Chart" : "Table"}
          </Button>
          <ExportMenu what="cached prompt" chart={measured ? drawn : null} />
        </>
      }
    >
      <QueryState query={query} what="the cached share" height={HEIGHT + 32}>
        {() =>
          measured && drawn ? (
            <TimeChart {...drawn} height={HEIGHT} asTable={asTable} />
          ) : (
            <Empty title="No prompt tokens were reported in this range" height={HEIGHT + 32} />
          )
        }
      </QueryState>
    </Panel>
  );
}
