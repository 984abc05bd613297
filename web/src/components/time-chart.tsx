// A chart over time that everybody can read: the canvas for the eye, a text
// summary, arrow keys with values read out, and the same numbers as a table.
import { useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { dateFormat, zoneLabel } from "../lib/format.ts";
import { useTheme } from "../lib/theme.ts";
import { columns, type PlotData, plotOptions } from "./plot.ts";
import styles from "./time-chart.module.css";

export interface TimeChartProps extends PlotData {
  /** What the chart shows; its accessible name. */
  name: string;
  kind: "bars" | "lines";
  log?: boolean;
  height: number;
  /** A value as on the axis and in the legend. */
  format: (value: number | null) => string;
  /** Charts of one key share their cursor. */
  syncKey?: string;
  /** Show the numbers as a table in place of the plot. */
  asTable?: boolean;
  /** What the legend shows while the cursor is elsewhere, one text for each line. */
  atRest?: string[];
  restLabel?: string;
  onZoom: (start: number, end: number) => void;
}

export function TimeChart(props: TimeChartProps) {
  const [index, setIndex] = useState<number | null>(null);
  return (
    <figure>
      <Legend {...props} index={props.asTable ? null : index} />
      {props.asTable ? <ValueTable {...props} /> : <Plot {...props} index={index} onCursor={setIndex} />}
    </figure>
  );
}

/** "Nov 23, 14:00 – 14:15" of one bucket. */
function bucketLabel(props: TimeChartProps, index: number): string {
  const start = props.starts[index] ?? 0;
  const fine = props.bucketSeconds < 60 ? { second: "2-digit" as const } : {};
  const format = dateFormat(props.zone, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", ...fine });
  return format.formatRange(start, start + props.bucketSeconds * 1e3);
}

function Legend(props: TimeChartProps & { index: number | null }) {
  const { index, lines } = props;
  return (
    <figcaption className={styles.legend}>
      <span className={styles.at}>{index === null ? props.restLabel : bucketLabel(props, index)}</span>
      {lines.map((line, at) => (
        <span key={line.label} className={styles.key}>
          <span
            className={styles.swatch}
            data-line={props.kind === "lines"}
            style={{ background: `var(${line.color})`, opacity: line.thin ? 0.5 : 1 }}
          />
          {line.label}{" "}
          <strong>{index === null ? props.atRest?.[at] : props.format(line.values[index] ?? null)}</strong>
        </span>
      ))}
      {props.errors ? (
        <span className={styles.key}>
          <span className={styles.swatch} data-line style={{ background: "var(--error)" }} />
          errors{" "}
          <strong>{index === null ? sum(props.errors) : props.errors[index]}</strong>
        </span>
      ) : null}
    </figcaption>
  );
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);

function Plot(props: TimeChartProps & { index: number | null; onCursor: (index: number | null) => void }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const theme = useTheme();
  const help = useId();
  const [spoken, setSpoken] = useState("");
  const stacked = props.kind === "bars";
  // What needs a new plot; everything else is only new data.
  const shape = JSON.stringify([
    theme,
    props.kind,
    props.log,
    props.height,
    props.zone,
    props.syncKey,
    props.band,
    props.lines.map(({ label, color, dash, thin }) => [label, color, dash, thin]),
  ]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for all that the options read
  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const options = plotOptions(
      {
        data: () => newest.current,
        cursor: (index) => newest.current.onCursor(index),
        zoom: (start, end) => newest.current.onZoom(start, end),
      },
      { width: Math.max(element.clientWidth, 100), height: props.height },
      { stacked, log: props.log ?? false, syncKey: props.syncKey, format: (value) => newest.current.format(value) },
    );
    const made = new uPlot(options, columns(newest.current, stacked), element);
    plot.current = made;
    const resize = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: props.height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new plot has its data already
  useEffect(() => plot.current?.setData(columns(props, stacked)), [props.lines, props.starts, props.range]);

  const move = (event: React.KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const u = plot.current;
    if (!u || (step === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    if (step === undefined) {
      u.setCursor({ left: -10, top: -10 });
      return setSpoken("");
    }
    const last = props.starts.length - 1;
    const index = Math.min(Math.max((props.index ?? (step > 0 ? -1 : last + 1)) + step, 0), last);
    const middle = (props.starts[index] ?? 0) / 1e3 + (stacked ? props.bucketSeconds / 2 : 0);
    u.setCursor({ left: u.valToPos(middle, "x"), top: 10 });
    const values = props.lines.map((line) => `${line.label} ${props.format(line.values[index] ?? null)}`);
    setSpoken(`${bucketLabel(props, index)}: ${values.join(", ")}`);
  };

  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: no element stands for a chart that is walked by keys */}
      <div
        ref={host}
        role="group"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys move its cursor
        tabIndex={0}
        className={styles.frame}
        style={{ height: props.height }}
        aria-label={`${props.name}. ${summary(props)}`}
        aria-describedby={help}
        onKeyDown={move}
      >
        <span className={styles.zone} aria-hidden="true">
          {zoneLabel(props.zone, props.range.end)}
        </span>
      </div>
      <span id={help} className="hidden">
        Left and right arrow keys move through the values.
      </span>
      <span className="hidden" aria-live="polite">
        {spoken}
      </span>
    </>
  );
}

/** Least, greatest and last value of each line, for those who cannot see it. */
function summary(props: TimeChartProps): string {
  const texts = props.lines.map((line) => {
    const known = line.values.filter((value): value is number => value !== null);
    if (known.length === 0) return `${line.label}: no data`;
    const [least, greatest, last] = [Math.min(...known), Math.max(...known), known.at(-1) ?? null].map(props.format);
    return `${line.label}: between ${least} and ${greatest}, last ${last}`;
  });
  return `${texts.join("; ")}.`;
}

function ValueTable(props: TimeChartProps) {
  const rows = props.starts.map((start, at) => ({ start, at })).reverse();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section className={styles.table} style={{ height: props.height - 16 }} aria-label={props.name} tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">Time ({zoneLabel(props.zone, props.range.end)})</th>
            {props.lines.map((line) => (
              <th key={line.label} scope="col">
                {line.label}
              </th>
            ))}
            {props.errors ? <th scope="col">errors</th> : null}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ start, at }) => (
            <tr key={start}>
              <th scope="row">{bucketLabel(props, at)}</th>
              {props.lines.map((line) => (
                <td key={line.label}>{props.format(line.values[at] ?? null)}</td>
              ))}
              {props.errors ? <td>{props.errors[at]}</td> : null}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
