// Where a range is empty: when the last request was, and a way there.

import { useRpc } from "../../api/use-rpc.ts";
import { Button } from "../../components/panel.tsx";
import { serverNow } from "../../lib/clock.ts";
import { ago } from "../../lib/format.ts";
import { absolute } from "../../lib/time-range.ts";
import { useNow } from "../../lib/use-now.ts";
import { useScope, useView } from "../../lib/view.ts";

const KEPT_MS = 400 * 86_400_000;
const AROUND_MS = 30 * 60_000;

/** Start of the newest request that passes the filters, whenever it was: null if there is none, undefined while unknown. */
export function useLastRequest(enabled: boolean): number | null | undefined {
  const { filter } = useScope();
  const { data } = useRpc(
    "RecentRequests",
    ["last", filter],
    () => ({ page: 1, pageSize: 1, range: { start: serverNow() - KEPT_MS }, filter }),
    { enabled },
  );
  return data && enabled ? (data.rows[0]?.startedAt ?? null) : undefined;
}

export function LastRequest() {
  const [view, setView] = useView();
  const now = useNow(1_000);
  const last = useLastRequest(true);
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
