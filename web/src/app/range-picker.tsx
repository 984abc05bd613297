// The time range that governs the page: typed, picked or stepped.
import { useState } from "react";
import { Button, Select } from "../components/panel.tsx";
import { Popover } from "../components/popover.tsx";
import { zoneLabel } from "../lib/format.ts";
import {
  absolute,
  DEFAULT_SPAN,
  PRESETS,
  parseSpan,
  resolve,
  type Span,
  spanLabel,
} from "../lib/time-range.ts";
import { useView } from "../lib/view.ts";
import styles from "./range-picker.module.css";

const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const MORE_ZONES = [
  "Europe/London",
  "Europe/Berlin",
  "Europe/Kyiv",
  "Asia/Kolkata",
  "Asia/Shanghai",
  "Asia/Tokyo",
  "Australia/Sydney",
  "America/New_York",
  "America/Chicago",
  "America/Los_Angeles",
  "America/Sao_Paulo",
].filter((zone) => zone !== browserZone);

export function RangePicker() {
  const [view, setView] = useView();
  const { span, zone } = view;
  const set = ({ from, to }: Span) =>
    setView({
      from: from === DEFAULT_SPAN.from && to === "now" ? null : from,
      to: to === "now" ? null : to,
    });
  const step = (direction: -1 | 1) => {
    const { start, end } = resolve(span, Date.now());
    const by = (end - start) * direction;
    if (end + by >= Date.now() - 1_000)
      return set(DEFAULT_SPAN.from === span.from ? DEFAULT_SPAN : liveSpan(end - start));
    set(absolute({ start: start + by, end: end + by }));
  };
  const wider = () => {
    const { start, end } = resolve(span, Date.now());
    if (span.to === "now") return set(liveSpan((end - start) * 2));
    set(absolute({ start: start - (end - start) / 2, end: Math.min(end + (end - start) / 2, Date.now()) }));
  };
  return (
    <div className={styles.picker}>
      <Button quiet data-key="[" aria-label="One range back" title="One range back" onClick={() => step(-1)}>
        ‹
      </Button>
      <Popover
        name="Time range"
        shortcut="t"
        label={
          <>
            {spanLabel(span, zone)} <span className="muted">· {zoneLabel(zone, Date.now())}</span>
          </>
        }
      >
        {(close) => (
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
            onCompare={(on) => setView({ compare: on ? null : "off" }, true)}
          />
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

function Choices(props: {
  span: Span;
  zone: string | undefined;
  onSpan: (span: Span) => void;
  onZone: (zone: string | null) => void;
  compare: boolean;
  onCompare: (on: boolean) => void;
}) {
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState(false);
  const zones = [
    ["", `Browser (${browserZone})`],
    ["UTC", "UTC"],
    ...MORE_ZONES.map((zone) => [zone, zone] as const),
    ...(props.zone && props.zone !== "UTC" && !MORE_ZONES.includes(props.zone)
      ? [[props.zone, props.zone] as const]
      : []),
  ] as const;
  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    const span = parseSpan(typed, props.zone, Date.now());
    if (span) props.onSpan(span);
    else setWrong(true);
  };
  return (
    <form className={styles.choices} onSubmit={submit}>
      <input
        className={styles.typed}
        aria-label="Time range in words"
        aria-invalid={wrong}
        placeholder="90m, 3d, yesterday, 2026-11-01 to 2026-11-07"
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value);
          setWrong(false);
        }}
      />
      {wrong ? (
        <p role="alert" className={styles.wrong}>
          Not understood. Try 90m, 3d, today, or 2026-11-01 14:00 to 2026-11-02.
        </p>
      ) : null}
      <ul className={styles.presets}>
        {PRESETS.map(({ from, label }) => (
          <li key={from}>
            <Button
              quiet
              aria-pressed={props.span.to === "now" && props.span.from === from}
              onClick={() => props.onSpan({ from, to: "now" })}
            >
              {label}
            </Button>
          </li>
        ))}
      </ul>
      <label className={styles.compare}>
        <input
          type="checkbox"
          checked={props.compare}
          onChange={(event) => props.onCompare(event.target.checked)}
        />
        Compare with the range before
      </label>
      <div className={styles.zone}>
        <span className="muted">Times in</span>
        <Select
          label="Time zone"
          value={props.zone ?? ""}
          options={zones}
          onChange={(zone) => props.onZone(zone || null)}
        />
      </div>
    </form>
  );
}
