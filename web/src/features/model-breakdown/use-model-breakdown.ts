import type { Payload } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { useScope } from "../../lib/view.ts";

type Order = NonNullable<Payload<"ModelBreakdown">["order"]>;

/** The models of the view. */
export function useModelBreakdown(limit: number, order: Order = "MODEL_ORDER_TOTAL_TOKENS") {
  const scope = useScope();
  return useRpc("ModelBreakdown", [...scope.key, limit, order], () => ({
    range: scope.range(),
    filter: scope.filter,
    timeZone: scope.zone,
    limit,
    order,
  }));
}
