import { useRpc } from "../../api/use-rpc.ts";
import { useScope } from "../../lib/view.ts";

/** One page of single requests of the view, newest first. */
export function useRecentRequests(page: number, pageSize: number) {
  const scope = useScope();
  return useRpc("RecentRequests", [...scope.key, page, pageSize], () => ({
    page,
    pageSize,
    range: scope.range(),
    filter: scope.filter,
  }));
}
