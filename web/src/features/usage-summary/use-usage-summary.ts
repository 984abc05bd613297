import { useRpc } from "../../api/use-rpc.ts";
import { useScope, useView } from "../../lib/view.ts";

/** Totals of the view, and of the range before unless comparing is off. */
export function useUsageSummary() {
  const scope = useScope();
  const [view] = useView();
  return useRpc("UsageSummary", [...scope.key, view.compare], () => ({
    range: scope.range(),
    filter: scope.filter,
    timeZone: scope.zone,
    comparePrevious: view.compare,
  }));
}
