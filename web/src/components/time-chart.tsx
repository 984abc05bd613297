// A chart over time that everybody can read: the plot for the eye, a text
// summary, arrow keys with values read out, and the same numbers as a table.
import { lazy, Suspense, useId, useRef, useState } from "react";
import { Link } from "wouter";
import { serverNow } from "../lib/clock.ts";
import { rangeLabel } from "../lib/time-range.ts";
import { useWidth } from "../lib/use-width.ts";
import { type FilterKey, type SomeFilters, useHref, useView, without } from "../lib/view.ts";
import { useZoom, type Zoom } from "../lib/zoom.ts";
import { FEWEST, Few } from "./few.tsx";
import { type Line, Plot, type PlotProps, places, scales } from "./plot.tsx";
import styles from "./time-chart.module.css";

export interface TimeChartProps extends Omit<PlotProps, "width"> {
  /** What the chart shows; its accessible name. */
  name: string;
  /** Show the numbers as a table in place of the plot. */
  asTable?: boolean;
  /** What the requests behind a value are narrowed to, besides the view's filters. */
  within?: SomeFilters;
  /** What the legend shows while the cursor is elsewhere, one text for each line. */
  atRest?: string[];
  restLabel?: string;
  /** What a drag, a double click and a click do, in place of the view's range. */
  zoom?: Zoom;
  /** The bucket under the cursor and how to move it: charts that share it move in step. */
  cursor?: [number | null, (index: number | null) => void];
}

const ValueTable = lazy(() => import("./value-table.tsx"));
const Marks = lazy(() => import("./marks.tsx"));

/** Two clicks within this are one double click. */
const DOUBLE_CLICK_MS = 300;

export function TimeChart(props: TimeChartProps) {
  const own = useState<number | null>(null);
  const [index, setIndex] = props.cursor ?? own;
  const shown = index !== null && index < props.buckets.starts.length && !props.asTable ? index : null;
  return (
    <figure>
      <Legend {...props} index={shown} />
      {props.asTable ? (
        <Suspense fallback={<div style={{ height: props.height - 16 }} />}>
          <ValueTable {...props} />
        </Suspense>
      ) : (
        <Interactive {...props} index={shown} onIndex={setIndex} />
      )}
    </figure>
  );
}

/** "Nov 23, 14:00 – 14:15" of one bucket. */
export function bucketLabel({ buckets, zone }: TimeChartProps, index: number): string {
  const label = rangeLabel(buckets.starts[index] ?? 0, buckets.ends[index] ?? 0, zone, serverNow());
  return buckets.partial[index] ? `${label}, in part` : label;
}

const swatch = (line: Line, kind: "bars" | "lines") =>
  kind === "bars" || line.thin ? (
    <rect width="10" height="10" rx="2" fill={`var(${line.color})`} opacity={line.thin ? 0.3 : 1} />
  ) : (
    <path d="M0 5h16" stroke={`var(${line.color})`} strokeWidth="2" strokeDasharray={line.dash} />
  );

const sumOf = (values: (number | null)[]): number =>
  values.reduce<number>((sum, value) => sum + (value ?? 0), 0);

function Legend(props: TimeChartProps & { index: number | null }) {
  const { index, lines, kind, errors } = props;
  const href = useHref();
  return (
    <figcaption className={styles.legend}>
      <span className={styles.at}>{index === null ? props.restLabel : bucketLabel(props, index)}</span>
      {/* It comes later than the lines: before them it moves none of them. */}
      {props.ghost ? (
        <span className={styles.key}>
          <svg aria-hidden="true" width={16} height="10">
            {swatch(props.ghost, "lines")}
          </svg>
          {props.ghost.label}{" "}
          <strong>
            {props.format(index === null ? sumOf(props.ghost.values) : (props.ghost.values[index] ?? null))}
          </strong>
        </span>
      ) : null}
      {lines.map((line, at) => (
        <span key={line.label} className={styles.key}>
          <svg aria-hidden="true" width={kind === "bars" || line.thin ? 10 : 16} height="10">
            {swatch(line, kind)}
          </svg>
          {line.filter ? <FilterKeyButton line={line} filter={line.filter} /> : line.label}{" "}
          <strong>
            {index === null ? props.atRest?.[at] : <Value line={line} index={index} format={props.format} />}
          </strong>
        </span>
      ))}
      {errors ? (
        <span className={styles.key}>
          <svg aria-hidden="true" width="10" height="10">
            <rect y="4" width="10" height="3" fill={`var(${props.tick?.color ?? "--error"})`} />
          </svg>
          {props.tick ? (
            props.tick.label
          ) : (
            <Link href={href("/requests", { status: ["error"] })}>errors</Link>
          )}{" "}
          <strong>{index === null ? errors.reduce((sum, value) => sum + value, 0) : errors[index]}</strong>
        </span>
      ) : null}
    </figcaption>
  );
}

/** The name of a group narrows the view to it, and a second click takes that back. */
function FilterKeyButton({ line, filter: [key, value] }: { line: Line; filter: [FilterKey, string] }) {
  const [view, setView] = useView();
  const chosen = view.filters[key];
  const on = chosen.length === 1 && chosen[0] === value;
  return (
    <button
      type="button"
      className={styles.filter}
      aria-pressed={on}
      title={on ? "Show the others as well" : `Only ${line.column ?? line.label}; with Alt all but it`}
      onClick={(event) => setView(event.altKey ? without(view, key, value) : { [key]: on ? null : [value] })}
    >
      {line.label}
    </button>
  );
}

/** One value of a line; one that is a percentile of few values says so. */
export function Value({
  line,
  index,
  format,
}: {
  line: Line;
  index: number;
  format: TimeChartProps["format"];
}) {
  const value = line.values[index] ?? null;
  return <Few values={value === null ? FEWEST : (line.of?.[index] ?? FEWEST)}>{format(value)}</Few>;
}

function Interactive(
  props: TimeChartProps & { index: number | null; onIndex: (index: number | null) => void },
) {
  const { index, height } = props;
  const { starts, ends } = props.buckets;
  const [frame, width] = useWidth<HTMLDivElement>();
  const [drag, setDrag] = useState<{ from: number; to: number; open: boolean } | null>(null);
  const [spoken, setSpoken] = useState("");
  const help = useId();

  const ofView = useZoom();
  const { zoom, undo: undoZoom, canUndo, open } = props.zoom ?? ofView;
  const opening = useRef<ReturnType<typeof setTimeout>>(undefined);
  const requestsOf = (at: number) => open({ start: starts[at] ?? 0, end: ends[at] ?? 0 }, props.within);
  const { x, time, bottom } = places({ ...props, width });
  const place = (event: React.PointerEvent) =>
    event.clientX - event.currentTarget.getBoundingClientRect().left;
  const bucketAt = (at: number) => {
    const half = (one: number) => (props.kind === "bars" ? 0 : ((ends[one] ?? 0) - (starts[one] ?? 0)) / 2);
    const found = starts.findLastIndex((start, one) => start <= at + half(one));
    return found < 0 ? null : found;
  };
  const move = (event: React.PointerEvent) => {
    const here = place(event);
    props.onIndex(bucketAt(time(here)));
    if (drag) setDrag({ ...drag, to: here });
  };
  const end = () => {
    if (drag && Math.abs(drag.to - drag.from) > 6) {
      const [from, to] = [drag.from, drag.to].sort((a, b) => a - b).map(time);
      if (from !== undefined && to !== undefined) zoom({ start: from, end: to });
    } else if (drag && index !== null && drag.open) {
      // Where a zoom can be undone, the click may be the first half of a double click.
      opening.current = setTimeout(() => requestsOf(index), canUndo() ? DOUBLE_CLICK_MS : 0);
    }
    setDrag(null);
  };
  const key = (event: React.KeyboardEvent) => {
    if (event.key === "Enter" && index !== null) requestsOf(index);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return event.key === "Escape" ? props.onIndex(null) : undefined;
    event.preventDefault();
    const last = starts.length - 1;
    const next = Math.min(Math.max((index ?? (step > 0 ? -1 : last + 1)) + step, 0), last);
    props.onIndex(next);
    const values = props.lines.map((line) => `${line.label} ${props.format(line.values[next] ?? null)}`);
    setSpoken(`${bucketLabel(props, next)}: ${values.join(", ")}`);
  };

  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: no element stands for a chart that is walked by keys */}
      <div
        ref={frame}
        role="group"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys move its cursor
        tabIndex={0}
        className={styles.frame}
        style={{ height }}
        aria-label={`${props.name}. ${summary(props)}`}
        aria-describedby={help}
        onKeyDown={key}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture?.(event.pointerId);
          const here = place(event);
          const at = bucketAt(time(here));
          // A first tap shows the values, since a finger does not hover; the second one opens.
          setDrag({ from: here, to: here, open: event.pointerType !== "touch" || at === index });
          props.onIndex(at);
        }}
        onPointerMove={move}
        onPointerUp={end}
        onPointerCancel={() => setDrag(null)}
        onDoubleClick={() => {
          clearTimeout(opening.current);
          undoZoom();
        }}
        onPointerLeave={() => props.onIndex(null)}
      >
        {width > 0 ? <Plot {...plotProps(props)} width={width} /> : null}
        {width > 0 ? (
          <Suspense>
            <Marks x={x} width={width} bottom={bottom} buckets={props.buckets} />
          </Suspense>
        ) : null}
        {index !== null && width > 0 ? (
          <Cursor props={props} x={x} bottom={bottom} index={index} width={width} />
        ) : null}
        {drag ? (
          <i
            className={styles.selection}
            style={{
              left: Math.min(drag.from, drag.to),
              width: Math.abs(drag.to - drag.from),
              height: bottom - 10,
            }}
          />
        ) : null}
      </div>
      <span id={help} className="hidden">
        Left and right arrow keys move through the values, Enter opens the requests behind one.
      </span>
      <span className="hidden" aria-live="polite">
        {spoken}
      </span>
    </>
  );
}

/** Only what the picture depends on, so that a moving cursor does not draw it anew. */
function plotProps(props: TimeChartProps): Omit<PlotProps, "width"> {
  const { kind, buckets, lines, errors, tick, ghost, band, zone, log, money, reach, height, format } = props;
  return {
    ...{ kind, buckets, lines, zone, height, format },
    ...(errors ? { errors } : {}),
    ...(tick ? { tick } : {}),
    ...(ghost ? { ghost } : {}),
    ...(band ? { band } : {}),
    ...(log ? { log } : {}),
    ...(money ? { money } : {}),
    ...(reach ? { reach } : {}),
  };
}

/** The bucket under the cursor: a column behind bars, a line with points over lines. */
function Cursor(at: {
  props: TimeChartProps;
  x: (at: number) => number;
  bottom: number;
  index: number;
  width: number;
}) {
  const { props, x, index, width } = at;
  const start = props.buckets.starts[index] ?? 0;
  const { y } = scales({ ...props, width });
  const left = x(start);
  return (
    <svg aria-hidden="true" className={styles.cursor} width={width} height={props.height}>
      {props.kind === "bars" ? (
        <rect
          x={left - 1}
          y={10}
          width={Math.max(x(props.buckets.ends[index] ?? 0) - left, 2)}
          height={at.bottom - 10}
          fill="var(--ink)"
          opacity={0.08}
        />
      ) : (
        <>
          <path d={`M${left} 10V${at.bottom}`} stroke="var(--faint)" strokeDasharray="2 2" />
          {props.lines.map((line) => {
            const value = line.values[index] ?? null;
            if (value === null || line.thin) return null;
            return (
              <circle
                key={line.label}
                cx={left}
                cy={y(value)}
                r={3.5}
                fill={`var(${line.color})`}
                stroke="var(--panel)"
                strokeWidth={1.5}
              />
            );
          })}
        </>
      )}
    </svg>
  );
}

/** Least, greatest and last value of each line, for those who cannot see it. */
function summary(props: TimeChartProps): string {
  const texts = props.lines.map((line) => {
    const known = line.values.filter((value): value is number => value !== null);
    if (known.length === 0) return `${line.label}: no data`;
    const [least, greatest, last] = [Math.min(...known), Math.max(...known), known.at(-1) ?? null].map(
      props.format,
    );
    return `${line.label}: between ${least} and ${greatest}, last ${last}`;
  });
  return `${texts.join("; ")}.`;
}
