import type { Payload } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { exact } from "../../lib/format.ts";
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

/** Name of the row with what is in no other: models beyond the limit, requests that call none. */
export const otherName = (models: number): string => (models > 0 ? `${exact(models)} others` : "no model");
