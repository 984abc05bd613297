import type { UsageSummary } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { comparedRange } from "../../lib/compare.ts";
import { useScope, useView } from "../../lib/view.ts";

/** Totals of the view, and of the range before where that is compared. */
export function useUsageSummary() {
  const scope = useScope();
  const [view] = useView();
  const comparePrevious = view.compare === "prev";
  return useRpc("UsageSummary", [...scope.key, comparePrevious], () => ({
    range: scope.range(),
    filter: scope.filter,
    timeZone: scope.zone,
    comparePrevious,
  }));
}

/** Totals of what the view is compared with; undefined while unknown and where nothing is. */
export function useComparedSummary(): UsageSummary | undefined {
  const scope = useScope();
  const [view] = useView();
  const { data } = useUsageSummary();
  const lastWeek = useRpc(
    "UsageSummary",
    [...scope.key, "week"],
    () => ({
      range: comparedRange(scope.moments(), "week", scope.zone),
      filter: scope.filter,
      timeZone: scope.zone,
      comparePrevious: false,
    }),
    { enabled: view.compare === "week", past: true },
  );
  if (view.compare === "week") return lastWeek.data;
  return view.compare === "prev" ? ((data?.previous ?? undefined) as UsageSummary | undefined) : undefined;
}
