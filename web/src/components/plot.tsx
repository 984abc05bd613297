// The picture of a TimeChart as SVG: a handful of paths, whatever the number of
// points, in the theme's colours without a redraw.
import { memo, useId } from "react";
import { logMarks, midnights, timeMarks, valueMarks } from "../lib/axis.ts";
import { currency } from "../lib/cost.ts";
import { zoneLabel } from "../lib/format.ts";
import { extremes, groupSize, peaks } from "../lib/thin.ts";
import type { Buckets } from "../lib/time-range.ts";
import type { FilterKey } from "../lib/view.ts";
import { FEWEST } from "./few.tsx";
import styles from "./time-chart.module.css";

export interface Line {
  label: string;
  /** In exports, where the label is shorter. */
  column?: string;
  /** Name of a custom property. */
  color: string;
  values: (number | null)[];
  dash?: string;
  /** Thin lines frame a band and stand back. */
  thin?: boolean;
  /** For percentiles: how many values each is of. Those of few are drawn faintly. */
  of?: number[];
  /** Whether its sum lacks something. */
  lower?: boolean;
  /** What its name in the legend narrows the view to. */
  filter?: [FilterKey, string];
}

export interface PlotProps {
  kind: "bars" | "lines";
  buckets: Buckets;
  lines: Line[];
  /** Failed requests of each bucket: ticks below the baseline, as long as there are many. */
  errors?: number[];
  /** What the ticks are, where they are no failures. */
  tick?: { label: string; color: string };
  /** What the sums are compared with: a faint dashed line over the bars. */
  ghost?: Line;
  /** Indexes of the lines between which the plot is tinted: [upper, lower]. */
  band?: [number, number];
  zone: string | undefined;
  log?: boolean;
  /** Values are billionths of a dollar, and the axis is round in the currency of the page. */
  money?: boolean;
  /** Values that the axis has room for, so that charts beside each other have equal axes. */
  reach?: number[];
  width: number;
  height: number;
  format: (value: number | null) => string;
}

const MARGIN = { left: 56, right: 8, top: 10, bottom: 26 };
/** Room below the baseline for ticks of errors. */
const TICK = { least: 3, most: 13 };
/** Share of a bucket that its bar fills. */
const FILL = 0.84;

type Places = Pick<PlotProps, "buckets" | "errors" | "width" | "height">;

/** How moments become places, and back. */
export function places({ buckets: { range }, errors, width, height }: Places) {
  const inner = Math.max(width - MARGIN.left - MARGIN.right, 1);
  const length = range.end - range.start;
  return {
    x: (at: number) => MARGIN.left + ((at - range.start) / length) * inner,
    time: (place: number) => range.start + Math.min(Math.max((place - MARGIN.left) / inner, 0), 1) * length,
    bottom: height - MARGIN.bottom - (errors ? TICK.most - 3 : 0),
  };
}

/** How values become places. */
export function scales(
  props: Places & Pick<PlotProps, "kind" | "lines" | "ghost" | "log" | "money" | "reach">,
) {
  const { lines, reach = [] } = props;
  const { rate } = props.money ? currency() : { rate: 1 };
  const { x, bottom } = places(props);
  let max = Math.max(0, ...reach);
  const look = (value: number | null) => {
    if (value !== null && value > max) max = value;
  };
  if (props.kind === "bars") totals(lines).forEach(look);
  else for (const { values } of lines) values.forEach(look);
  props.ghost?.values.forEach(look);
  max ||= 1;
  const height = bottom - MARGIN.top;
  if (props.log) {
    let least = max;
    const below = (value: number | null) => {
      if (value !== null && value > 0 && value < least) least = value;
    };
    for (const { values } of lines) values.forEach(below);
    reach.forEach(below);
    const min = least / 1.2;
    const y = (value: number) =>
      bottom - (Math.log(Math.max(value, min) / min) / Math.log((max * 1.2) / min)) * height;
    return { x, y, bottom, marks: logMarks(min, max * 1.2) };
  }
  const y = (value: number) => bottom - (value / (max * 1.06)) * height;
  return {
    x,
    y,
    bottom,
    marks: valueMarks(max * 1.06 * rate, Math.max(2, Math.round(height / 42)), props.kind === "bars").map(
      (value) => value / rate,
    ),
  };
}

/** Sums of each bucket over all lines. */
function totals(lines: Line[]): number[] {
  const sums = Array<number>(lines[0]?.values.length ?? 0).fill(0);
  for (const { values } of lines)
    for (let at = 0; at < sums.length; at += 1) sums[at] = (sums[at] ?? 0) + (values[at] ?? 0);
  return sums;
}

/** The same picture of fewer points: of buckets that share a pixel the highest, of lines the least and the greatest value. */
export function thinned(props: PlotProps): PlotProps {
  const { lines, buckets, errors, ghost, kind } = props;
  const { starts, ends, partial, range } = buckets;
  const room = props.width - MARGIN.left - MARGIN.right;
  // A bar is two pixels wide at least.
  const size = groupSize(starts.length, kind === "bars" ? room / 2 : room);
  if (size < (kind === "bars" ? 2 : 3)) return props;
  const first = starts.filter((_, at) => at % size === 0);
  const until = first.map((_, group) => ends[Math.min((group + 1) * size, ends.length) - 1] ?? range.end);
  if (kind === "bars") {
    const at = peaks(totals(lines), size);
    const pick = (line: Line): Line => ({ ...line, values: at.map((one) => line.values[one] ?? null) });
    return {
      ...props,
      lines: lines.map(pick),
      buckets: { starts: first, ends: until, partial: at.map((one) => partial[one] ?? false), range },
      ...(ghost ? { ghost: pick(ghost) } : {}),
      ...(errors ? { errors: peaks(errors, size).map((one) => errors[one] ?? 0) } : {}),
    };
  }
  const halves = first.flatMap((start, group) => [start, (start + (until[group] ?? start)) / 2]);
  const thin = ({ of, ...line }: Line): Line => ({
    ...line,
    values: extremes(line.values, size),
    ...(of ? { of: extremes(of, size).map((count) => count ?? 0) } : {}),
  });
  return {
    ...props,
    lines: lines.map(thin),
    buckets: { starts: halves, ends: [...halves.slice(1), range.end], partial: [], range },
  };
}

export const Plot = memo(function Plot(given: PlotProps) {
  const props = thinned(given);
  const { zone, width, height } = props;
  const { range } = props.buckets;
  const scale = scales(props);
  const { x, y, bottom } = scale;
  return (
    <svg aria-hidden="true" width={width} height={height} className={styles.plot}>
      {scale.marks.map((value) => (
        <g key={value}>
          <path
            d={`M${MARGIN.left} ${Math.round(y(value)) + 0.5}H${width - MARGIN.right}`}
            className={styles.grid}
          />
          <text x={MARGIN.left - 8} y={y(value) + 4} textAnchor="end">
            {value === 0 ? 0 : props.format(value)}
          </text>
        </g>
      ))}
      <path
        d={midnights(range, zone)
          .map((at) => `M${Math.round(x(at)) + 0.5} ${MARGIN.top}V${bottom}`)
          .join("")}
        className={styles.grid}
      />
      {timeMarks(range, Math.max(2, Math.floor(width / (width < 500 ? 64 : 84))), zone).map(
        ({ at, label, day }) => (
          <text key={at} x={x(at)} y={height - 8} textAnchor="middle" data-day={day}>
            {x(at) > MARGIN.left + 30 && x(at) < width - 24 ? label : ""}
          </text>
        ),
      )}
      <text x={2} y={height - 8} opacity={0.75}>
        {zoneLabel(zone, range.end)}
      </text>
      {props.kind === "bars" ? <Bars props={props} scale={scale} /> : <Lines props={props} scale={scale} />}
      {props.ghost ? (
        <path
          d={linePath(middles(props.buckets), props.ghost.values, x, y)}
          className={styles.line}
          stroke={`var(${props.ghost.color})`}
          strokeWidth={1.5}
          strokeDasharray={props.ghost.dash}
        />
      ) : null}
      {props.errors ? (
        <path d={errorTicks(props, x, bottom)} fill={`var(${props.tick?.color ?? "--error"})`} />
      ) : null}
    </svg>
  );
});

/** Where a line over bars has its points: at the middle of each bar. */
const middles = ({ starts, ends }: Buckets): number[] =>
  starts.map((start, at) => start + (((ends[at] ?? start) - start) * FILL) / 2);

type Scale = ReturnType<typeof scales>;

/** Stacked bars; buckets that the range covers in part look unfinished. */
function Bars({ props, scale: { x, y, bottom } }: { props: PlotProps; scale: Scale }) {
  const pattern = useId();
  const { lines } = props;
  const { starts, partial } = props.buckets;
  const sums = starts.map(() => 0);
  const paths = lines.map(({ values }) =>
    values.map((value, at) => {
      if (!value) return "";
      const from = sums[at] ?? 0;
      sums[at] = from + value;
      const [left, wide] = bar(props, x, at);
      const [base, top] = [y(from), y(from + value)];
      // At least a pixel: something is not nothing.
      return `M${left} ${base.toFixed(1)}V${Math.min(top, base - 1).toFixed(1)}h${wide}V${base.toFixed(1)}z`;
    }),
  );
  const hatched = sums.map((sum, at) => {
    if (!sum || !partial[at]) return "";
    const [left, wide] = bar(props, x, at);
    return `M${left} ${bottom}V${y(sum) - 1}h${wide}V${bottom}z`;
  });
  return (
    <>
      {paths.map((path, at) => (
        <path key={lines[at]?.label} d={path.join("")} fill={`var(${lines[at]?.color})`} />
      ))}
      <pattern id={pattern} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect width="2.4" height="5" fill="var(--panel)" />
      </pattern>
      <path d={hatched.join("")} fill={`url(#${pattern})`} />
    </>
  );
}

/** What of a line can be relied on: the rest are percentiles of too few values. */
const strong = (line: Line): (number | null)[] =>
  line.of ? line.values.map((value, at) => ((line.of?.[at] ?? 0) < FEWEST ? null : value)) : line.values;

function Lines({ props, scale: { x, y } }: { props: PlotProps; scale: Scale }) {
  const { lines } = props;
  const { starts } = props.buckets;
  const [upper, lower] = props.band ? props.band.map((at) => lines[at]?.values ?? []) : [];
  return (
    <>
      {upper && lower ? (
        <path d={bandPath(starts, upper, lower, x, y)} fill={`var(${lines[0]?.color})`} opacity={0.14} />
      ) : null}
      {lines.map((line) => (
        <g
          key={line.label}
          className={styles.line}
          stroke={`var(${line.color})`}
          strokeWidth={line.thin ? 0 : 2}
        >
          {line.of ? (
            <path d={linePath(starts, line.values, x, y)} strokeDasharray={line.dash} opacity={0.35} />
          ) : null}
          <path d={linePath(starts, strong(line), x, y)} strokeDasharray={line.dash} />
        </g>
      ))}
      {lines.map((line) => (
        <path
          key={line.label}
          d={lonePoints(starts, line.values, x, y)}
          className={styles.line}
          stroke={`var(${line.color})`}
          strokeWidth={line.thin ? 0 : 5}
        />
      ))}
    </>
  );
}

function bar(props: PlotProps, x: (at: number) => number, at: number): [left: number, width: number] {
  const left = x(props.buckets.starts[at] ?? 0);
  const width = Math.max((x(props.buckets.ends[at] ?? 0) - left) * FILL, 1);
  return [Math.round(left * 2) / 2, Math.round(width * 2) / 2];
}

function errorTicks(props: PlotProps, x: (at: number) => number, bottom: number): string {
  const errors = props.errors ?? [];
  const most = Math.max(...errors);
  return errors
    .map((failed, at) => {
      if (!failed) return "";
      const [left, width] = bar(props, x, at);
      // By the square root, so that one error beside a thousand is still seen.
      const long = (TICK.least + (TICK.most - TICK.least) * Math.sqrt(failed / most)).toFixed(1);
      return `M${left} ${bottom + 2}h${Math.max(width, 2)}v${long}h${-Math.max(width, 2)}z`;
    })
    .join("");
}

/** A line with gaps where nothing is known. */
function linePath(
  starts: number[],
  values: (number | null)[],
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  let open = false;
  return values
    .map((value, at) => {
      if (value === null) {
        open = false;
        return "";
      }
      const place = `${x(starts[at] ?? 0).toFixed(1)} ${y(value).toFixed(1)}`;
      const step = open ? `L${place}` : `M${place}`;
      open = true;
      return step;
    })
    .join("");
}

/** Values without neighbours, which make no line: dots by their round caps. */
function lonePoints(
  starts: number[],
  values: (number | null)[],
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  return values
    .map((value, at) => {
      const alone = values[at - 1] == null && values[at + 1] == null;
      return value !== null && alone ? `M${x(starts[at] ?? 0).toFixed(1)} ${y(value).toFixed(1)}h0` : "";
    })
    .join("");
}

function bandPath(
  starts: number[],
  upper: (number | null)[],
  lower: (number | null)[],
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  let path = "";
  let run: number[] = [];
  const close = () => {
    const point = (values: (number | null)[]) => (at: number) =>
      `${x(starts[at] ?? 0).toFixed(1)} ${y(values[at] ?? 0).toFixed(1)}`;
    if (run.length > 1)
      path += `M${[...run.map(point(upper)), ...run.reverse().map(point(lower))].join("L")}z`;
    run = [];
  };
  starts.forEach((_, at) => {
    if (upper[at] == null || lower[at] == null) close();
    else run.push(at);
  });
  close();
  return path;
}
