// The numbers on top: what was, and what is now. Each opens what is behind it. The cost
// is among them once it is known of a request: a local model without a price has none.
import { lazy, type ReactNode, Suspense } from "react";
import { Link } from "wouter";
import { SAMPLES, useLiveValue } from "../../api/live.ts";
import type { UsageSummary } from "../../api/types.ts";
import { Few } from "../../components/few.tsx";
import { Failure } from "../../components/panel.tsx";
import { Sparkline } from "../../components/sparkline.tsx";
import { COMPARED } from "../../lib/compare.ts";
import { knownCost } from "../../lib/cost.ts";
import { change, clock, count, duration, exact, percent, points, rate, UNKNOWN } from "../../lib/format.ts";
import { boundMark, isLowerBound, knownTokens, tokensOf } from "../../lib/usage.ts";
import { useNow } from "../../lib/use-now.ts";
import { useHref, useView } from "../../lib/view.ts";
import styles from "./usage-summary-tiles.module.css";
import { useComparedSummary, useUsageSummary } from "./use-usage-summary.ts";

const CostTile = lazy(() => import("./cost-tile.tsx"));

/** Columns of the range for the small charts; from the time series on the same page. */
export interface Trends {
  requests: number[];
  tokens: number[];
  failed: number[];
  cost: number[];
}

export function UsageSummaryTiles({ trends }: { trends: Trends | undefined }) {
  const query = useUsageSummary();
  const [view] = useView();
  const href = useHref();
  const data = query.data;
  const previous = useComparedSummary();
  if (!data && query.error) {
    return (
      <section className={styles.tiles} aria-label="Summary">
        <div className={styles.failed}>
          <Failure what="the summary" error={query.error} retry={() => void query.refetch()} />
        </div>
      </section>
    );
  }
  const total = data && knownTokens(tokensOf(data), data);
  const lower = data !== undefined && isLowerBound(data);
  return (
    <section className={styles.tiles} aria-label="Summary" aria-busy={!data}>
      <Tile
        label="Requests"
        href={href("/requests")}
        value={count(data?.requests)}
        title={exact(data?.requests)}
        change={
          <Change
            difference={change(data?.requests, previous?.requests)}
            before={exact(previous?.requests)}
          />
        }
        sub={
          data && (
            <>
              median {duration(data.durationMs?.p50)} ·{" "}
              <Few values={data.requests}>p95 {duration(data.durationMs?.p95)}</Few>
            </>
          )
        }
        chart={<Sparkline values={trends?.requests ?? []} color="var(--muted)" />}
      />
      <Tile
        label="Tokens"
        value={`${boundMark(total, lower)}${count(total)}`}
        title={`${lower ? "At least " : ""}${exact(total)}`}
        change={
          <Change
            difference={change(total, previous ? tokensOf(previous) : undefined)}
            before={exact(previous && tokensOf(previous))}
          />
        }
        sub={data && <TokenParts data={data} />}
        chart={<Sparkline values={trends?.tokens ?? []} color="var(--prompt)" />}
      />
      {data?.cost && knownCost(data.cost) !== null ? (
        <Suspense fallback={<Tile label="Cost" value={UNKNOWN} />}>
          <CostTile cost={data.cost} before={knownCost(previous?.cost)} trend={trends?.cost} />
        </Suspense>
      ) : null}
      {view.span.to === "now" ? (
        <>
          <SpeedTile median={data?.decodeTokensPerSecond?.p50} />
          <InFlightTile />
        </>
      ) : (
        <PastTiles data={data} />
      )}
      <Tile
        label="Errors"
        href={href("/requests", { status: ["error"] })}
        value={percent(errorShare(data))}
        title={`${exact(data?.failedRequests)} of ${exact(data?.requests)} requests`}
        tone={data?.failedRequests ? "error" : undefined}
        change={
          <Change
            difference={points(errorShare(data), errorShare(previous))}
            before={percent(errorShare(previous))}
          />
        }
        sub={data && `${count(data.failedRequests)} failed · ${count(data.clientClosedRequests)} cancelled`}
        chart={<Sparkline values={trends?.failed ?? []} color="var(--error)" />}
      />
    </section>
  );
}

const errorShare = (data: UsageSummary | null | undefined): number | null =>
  data?.requests ? data.failedRequests / data.requests : null;

function SpeedTile({ median }: { median: number | null | undefined }) {
  const tokensPerSecond = useLiveValue("tokensPerSecond");
  const rateSamples = useLiveValue("rateSamples");
  const href = useHref();
  return (
    <Tile
      label="Tokens/s now"
      href={href("/throughput")}
      value={tokensPerSecond !== null && tokensPerSecond < 0.05 ? "0" : rate(tokensPerSecond)}
      title="Decoded by all streams together, mean of the last 10 s"
      sub={`one request: median ${rate(median)}`}
      chart={<Sparkline values={rateSamples} color="var(--completion)" places={SAMPLES} />}
    />
  );
}

function InFlightTile() {
  const known = useLiveValue("known");
  const inFlight = useLiveValue("inFlight");
  const waiting = useLiveValue("waiting");
  const oldestAt = useLiveValue("oldestAt");
  const inFlightSamples = useLiveValue("inFlightSamples");
  const now = useNow(1_000);
  return (
    <Tile
      label="In flight"
      value={known ? count(inFlight) : UNKNOWN}
      title="Requests running now"
      tone={known && inFlight > 0 ? "running" : undefined}
      sub={
        known
          ? oldestAt === null
            ? "nothing is running"
            : `${waiting} waiting · oldest ${clock(now - oldestAt)}`
          : "not known"
      }
      chart={<Sparkline values={inFlightSamples} color="var(--accent)" max={2} places={SAMPLES} />}
    />
  );
}

/** In a range of the past nothing is "now": speeds and waits of its requests take the place. */
function PastTiles({ data }: { data: UsageSummary | undefined }) {
  const href = useHref();
  const decode = data?.decodeTokensPerSecond;
  const first = data?.timeToFirstTokenMs;
  return (
    <>
      <Tile
        label="Tokens/s of a request"
        href={href("/throughput")}
        value={rate(decode?.p50)}
        title="Median decode rate of single requests"
        sub={data && <Few values={data.requests}>{`p5 ${rate(decode?.p5)} · p95 ${rate(decode?.p95)}`}</Few>}
      />
      <Tile
        label="First token"
        href={href("/throughput")}
        value={duration(first?.p50)}
        title="Median time to the first token"
        sub={
          data && (
            <Few values={data.requests}>{`p95 ${duration(first?.p95)} · p99 ${duration(first?.p99)}`}</Few>
          )
        }
      />
    </>
  );
}

export function Tile(props: {
  label: string;
  value: string;
  title?: string;
  href?: string;
  tone?: "error" | "running" | undefined;
  change?: ReactNode;
  sub?: ReactNode;
  chart?: ReactNode;
}) {
  const label = props.href ? <Link href={props.href}>{props.label}</Link> : props.label;
  return (
    <div className={styles.tile} data-tone={props.tone}>
      <h2 className={styles.label}>{label}</h2>
      <p className={styles.row}>
        <span className={styles.value} title={props.title}>
          {props.value}
        </span>
        {props.change}
      </p>
      <p className={styles.sub}>{props.sub ?? " "}</p>
      <div className={styles.chart}>{props.chart}</div>
    </div>
  );
}

/** Neither green nor red: more requests are neither good nor bad. */
export function Change({ difference, before }: { difference: ReturnType<typeof change>; before: string }) {
  const [view] = useView();
  if (!difference || view.compare === "off") return null;
  const { words, short } = COMPARED[view.compare];
  return (
    <span className={styles.change} title={`${before} in ${words}`}>
      <span aria-hidden="true">{difference.arrow} </span>
      <span className="hidden">{difference.arrow === "↓" ? "down " : difference.arrow ? "up " : ""}</span>
      {difference.text} <span aria-hidden="true">{short}</span>
      <span className="hidden"> against {words}</span>
    </span>
  );
}

function TokenParts({ data }: { data: UsageSummary }) {
  const uncached = data.promptTokens - data.cachedPromptTokens;
  return (
    <>
      <span
        className={styles.part}
        title={`${exact(uncached)} uncached, ${exact(data.cachedPromptTokens)} cached`}
      >
        <i style={{ background: "var(--prompt)" }} /> {count(knownTokens(data.promptTokens, data))} prompt
      </span>
      <span className={styles.part} title={exact(data.completionTokens)}>
        <i style={{ background: "var(--completion)" }} /> {count(knownTokens(data.completionTokens, data))}{" "}
        completion
      </span>
    </>
  );
}
