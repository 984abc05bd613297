// Where a range is empty: when the last request was, and a way there.
import type { Filter, UsageEvent } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { Button } from "../../components/panel.tsx";
import { serverNow } from "../../lib/clock.ts";
import { ago } from "../../lib/format.ts";
import { absolute } from "../../lib/time-range.ts";
import { useNow } from "../../lib/use-now.ts";
import { useScope, useView } from "../../lib/view.ts";

const KEPT_MS = 400 * 86_400_000;
const AROUND_MS = 30 * 60_000;

/** The newest request that passes the filter, whenever it was: null if there is none, undefined while unknown. */
export function useLastRequest(enabled: boolean, filter: Filter): UsageEvent | null | undefined {
  const { data } = useRpc(
    "RecentRequests",
    ["last", filter],
    () => ({ page: 1, pageSize: 1, range: { start: serverNow() - KEPT_MS }, filter }),
    { enabled },
  );
  return data && enabled ? (data.rows[0] ?? null) : undefined;
}

export function LastRequest() {
  const [view, setView] = useView();
  const now = useNow(1_000);
  const last = useLastRequest(true, useScope().filter)?.startedAt;
  if (last == null) return null;
  return (
    <>
      <span>The last one was {ago(last, now, view.zone)}.</span>
      <Button onClick={() => setView({ ...absolute({ start: last - AROUND_MS, end: last + AROUND_MS }) })}>
        Go there
      </Button>
    </>
  );
}
