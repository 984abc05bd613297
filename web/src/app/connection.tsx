// The connection in words, with a dot while it stands and a ring while it does not; below
// it the ways to ask.
import { lazy, Suspense, useEffect } from "react";
import { live, useLiveValue } from "../api/live.ts";
import { Popover } from "../components/popover.tsx";
import { time } from "../lib/format.ts";
import { useNow } from "../lib/use-now.ts";
import styles from "./app.module.css";

const TransportChoices = lazy(() => import("./transport-choices.tsx"));

/** Values dim when they are this old. */
const STALE_MS = 30_000;

export function Connection() {
  const connection = useLiveValue("connection");
  const known = useLiveValue("known");
  const now = useNow(1_000);
  // It moves on with every event, and is looked at once a second only.
  const { since } = live.get();
  const stale = connection === "lost" && now - since > STALE_MS;
  useEffect(() => {
    document.documentElement.toggleAttribute("data-stale", stale);
  }, [stale]);
  const text =
    connection === "open"
      ? known
        ? "Connected"
        : "Live data unavailable, trying again…"
      : connection === "connecting"
        ? "Connecting…"
        : known
          ? `Reconnecting… data as of ${time(since)}`
          : "Not connected, trying again…";
  return (
    <span className={styles.connection} data-state={connection === "open" && !known ? "lost" : connection}>
      <i />
      <span role="status">{text}</span>
      <Popover quiet name="How this page asks" label="▾">
        {() => (
          <Suspense>
            <TransportChoices />
          </Suspense>
        )}
      </Popover>
    </span>
  );
}
