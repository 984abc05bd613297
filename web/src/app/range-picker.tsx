// The time range that governs the page: typed, picked or stepped.
import { lazy, Suspense } from "react";
import { Button } from "../components/panel.tsx";
import { Popover } from "../components/popover.tsx";
import { serverNow } from "../lib/clock.ts";
import { zoneLabel } from "../lib/format.ts";
import { absolute, DEFAULT_SPAN, resolve, type Span, spanLabel } from "../lib/time-range.ts";
import { useView } from "../lib/view.ts";
import { spanParams } from "../lib/zoom.ts";
import styles from "./range-picker.module.css";

const Choices = lazy(() => import("./range-choices.tsx"));

export function RangePicker() {
  const [view, setView] = useView();
  const { span, zone } = view;
  const set = (chosen: Span) => setView(spanParams(chosen));
  const step = (direction: -1 | 1) => {
    const { start, end } = resolve(span, serverNow());
    const by = (end - start) * direction;
    if (end + by >= serverNow() - 1_000)
      return set(DEFAULT_SPAN.from === span.from ? DEFAULT_SPAN : liveSpan(end - start));
    set(absolute({ start: start + by, end: end + by }));
  };
  const wider = () => {
    const { start, end } = resolve(span, serverNow());
    if (span.to === "now") return set(liveSpan((end - start) * 2));
    set(absolute({ start: start - (end - start) / 2, end: Math.min(end + (end - start) / 2, serverNow()) }));
  };
  return (
    <div className={styles.picker}>
      <Button quiet data-key="[" aria-label="One range back" title="One range back" onClick={() => step(-1)}>
        ‹
      </Button>
      <Popover
        name="Time range"
        says
        shortcut="t"
        label={
          <>
            {spanLabel(span, zone)} <span className="muted">· {zoneLabel(zone, serverNow())}</span>
          </>
        }
      >
        {(close) => (
          <Suspense>
            <Choices
              key={`${span.from} ${span.to}`}
              span={span}
              zone={zone}
              onSpan={(chosen) => {
                set(chosen);
                close();
              }}
              onZone={(chosen) => setView({ tz: chosen }, true)}
              compare={view.compare}
              onCompare={(by) => setView({ compare: by === "prev" ? null : by }, true)}
            />
          </Suspense>
        )}
      </Popover>
      <Button
        quiet
        data-key="]"
        aria-label="One range on"
        title="One range on"
        disabled={span.to === "now"}
        onClick={() => step(1)}
      >
        ›
      </Button>
      <Button quiet aria-label="Twice the range" title="Twice the range" onClick={wider}>
        <svg
          aria-hidden="true"
          width="14"
          height="14"
          viewBox="0 0 16 16"
          fill="none"
          stroke="currentColor"
          strokeWidth="1.5"
        >
          <circle cx="7" cy="7" r="4.5" />
          <path d="M5 7h4M10.5 10.5 14 14" strokeLinecap="round" />
        </svg>
      </Button>
    </div>
  );
}

/** A span of whole minutes that ends now. */
const liveSpan = (ms: number): Span => ({ from: `-${Math.max(1, Math.round(ms / 60_000))}m`, to: "now" });
