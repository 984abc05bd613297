// One banner for one outage, whatever the number of panels that it empties: analytics
// cannot answer (proxying goes on), or the gateway cannot be reached.
import { useQueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { isOutage } from "../components/panel.tsx";
import styles from "./app.module.css";

export function Unavailable() {
  const cache = useQueryClient().getQueryCache();
  const outage = useSyncExternalStore(
    (changed) => cache.subscribe(changed),
    () => {
      const failed = cache.findAll({ type: "active" }).map(({ state }) => state.error);
      return failed.find(isOutage)?.kind;
    },
  );
  if (!outage) return null;
  return (
    <p role="alert" className={styles.banner}>
      {outage === "database" ? (
        <>
          <strong>Usage data is unavailable.</strong> Proxying goes on, and what is measured meanwhile is
          kept. Values that are still shown are older ones.
        </>
      ) : (
        <>
          <strong>The gateway does not answer.</strong> Values that are still shown are older ones, and are
          asked for again as soon as it is back.
        </>
      )}
    </p>
  );
}
