// A banner while analytics cannot answer: usage is unavailable, proxying goes on.
import { useQueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { RpcError } from "../api/rpc.ts";
import styles from "./app.module.css";

export function Unavailable() {
  const cache = useQueryClient().getQueryCache();
  const unavailable = useSyncExternalStore(
    (changed) => cache.subscribe(changed),
    () =>
      cache
        .findAll({ type: "active" })
        .some(({ state }) => state.error instanceof RpcError && state.error.kind === "database"),
  );
  if (!unavailable) return null;
  return (
    <p role="alert" className={styles.banner}>
      <strong>Usage data is unavailable.</strong> Proxying goes on, and what is measured meanwhile is kept.
    </p>
  );
}
