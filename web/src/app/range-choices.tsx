// What the popover of the time range holds: a field, the usual ranges and the zone.
import { useEffect, useRef, useState } from "react";
import { Button, Select } from "../components/panel.tsx";
import { serverNow } from "../lib/clock.ts";
import type { Compare } from "../lib/compare.ts";
import { parseSpan } from "../lib/parse-span.ts";
import { PRESETS, type Span } from "../lib/time-range.ts";
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

const COMPARE = [
  ["prev", "The range before"],
  ["week", "The same time last week"],
  ["off", "Nothing"],
] as const;

export default function RangeChoices(props: {
  span: Span;
  zone: string | undefined;
  onSpan: (span: Span) => void;
  onZone: (zone: string | null) => void;
  compare: Compare;
  onCompare: (by: Compare) => void;
}) {
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  // The popover is open by the time that this is here, or gives the focus itself.
  useEffect(() => field.current?.focus(), []);
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
    const span = parseSpan(typed, props.zone, serverNow());
    if (span) props.onSpan(span);
    else setWrong(true);
  };
  return (
    <form className={styles.choices} onSubmit={submit}>
      <input
        className={styles.typed}
        ref={field}
        data-autofocus
        aria-label="Time range in words"
        aria-invalid={wrong}
        placeholder="90m, last week, Nov 27, 14:00 to 15:00"
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value);
          setWrong(false);
        }}
      />
      {wrong ? (
        <p role="alert" className={styles.wrong}>
          Not understood. Try 90m, 3d, 1mo, yesterday, last week, Nov 27, 14:00 to 15:00, since Nov 20, or
          2026-11-01 14:00 to 2026-11-02.
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
      <div className={styles.zone}>
        <span className="muted">Compare with</span>
        <Select label="Compare with" value={props.compare} options={COMPARE} onChange={props.onCompare} />
      </div>
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
