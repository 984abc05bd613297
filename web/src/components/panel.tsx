// A panel and its states. A first load shows a skeleton of the final size,
// later ones a thin bar; an error stays in its own panel, with Retry.
import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, useId } from "react";
import { RpcError } from "../api/rpc.ts";
import { useFailure } from "../api/use-rpc.ts";
import { Boundary } from "./boundary.tsx";
import { Button } from "./button.tsx";
import styles from "./panel.module.css";

export { Button };

export function Panel(props: {
  title: string;
  /** A few words beside the title. */
  note?: string;
  controls?: ReactNode;
  busy?: boolean;
  className?: string | undefined;
  children: ReactNode;
}) {
  const id = useId();
  const classes = [styles.panel, props.busy ? styles.busy : "", props.className].filter(Boolean).join(" ");
  return (
    <section className={classes} aria-labelledby={id}>
      <div className={styles.head}>
        <h2 id={id}>
          {props.title}
          {props.note ? <span className={styles.note}> {props.note}</span> : null}
        </h2>
        {props.controls}
      </div>
      <Boundary what={props.title.toLowerCase()}>{props.children}</Boundary>
    </section>
  );
}

/** The body of a panel that a query fills, `height` pixels high until it has something to show. */
export function QueryState<T>(props: {
  query: UseQueryResult<T>;
  what: string;
  height: number;
  children: (data: T) => ReactNode;
}) {
  const { data, refetch } = props.query;
  const error = useFailure(props.query);
  if (data === undefined && error) {
    return (
      <div style={{ minHeight: props.height }}>
        <Failure what={props.what} error={error} retry={() => void refetch()} />
      </div>
    );
  }
  if (data === undefined) return <Skeleton height={props.height} what={props.what} />;
  return (
    <>
      {error && !isOutage(error) ? (
        <Failure what={props.what} error={error} retry={() => void refetch()} stale />
      ) : null}
      {props.children(data)}
    </>
  );
}

export function Skeleton({ height, what }: { height: number; what: string }) {
  return (
    <div role="status" aria-label={`Loading ${what}`} style={{ height, padding: "4px 16px 16px" }}>
      <div className={styles.skeleton} style={{ height: "100%" }} />
    </div>
  );
}

/** An outage of usage data or of the gateway is no fault of one panel: the banner tells it once for all. */
export const isOutage = (error: Error | null): error is RpcError =>
  error instanceof RpcError && error.kind !== "refused";

/** What failed, and Retry. `stale`: older values stay below. */
export function Failure(props: { what: string; error: Error; retry: () => void; stale?: boolean }) {
  const known = props.error instanceof RpcError;
  const message = known ? props.error.message : "Something went wrong.";
  return (
    <div
      role={isOutage(props.error) ? undefined : "alert"}
      className={`${styles.state} ${styles.failed}`}
      style={props.stale ? { padding: 8 } : {}}
    >
      <div>
        <strong>Could not load {props.what}</strong>
        {props.stale ? " – these are older values. " : <br />}
        {message}
      </div>
      <Button onClick={props.retry}>Retry</Button>
    </div>
  );
}

/** Why there is nothing, and what to do. */
export function Empty({ title, height, children }: { title: string; height?: number; children?: ReactNode }) {
  return (
    <div className={styles.state} style={{ minHeight: height }}>
      <strong>{title}</strong>
      {children}
    </div>
  );
}

/** A few choices side by side, one of them taken. */
export function Segments<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}) {
  return (
    <fieldset className={styles.segments} style={{ border: 0, margin: 0 }} aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button
          key={value}
          type="button"
          aria-pressed={value === props.value}
          onClick={() => props.onChange(value)}
        >
          {text}
        </button>
      ))}
    </fieldset>
  );
}

/** More choices than fit side by side. */
export function Select<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}) {
  return (
    <select
      className={styles.select}
      aria-label={props.label}
      value={props.value}
      onChange={(event) => props.onChange(event.target.value as T)}
    >
      {props.options.map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  );
}
