// How a TimeChart becomes uPlot options: stacked bars or lines, quiet axes, day
// lines, the unfinished bucket hatched and errors as ticks on the baseline.
import uPlot from "uplot";
import { dateFormat } from "../lib/format.ts";
import { cssColor } from "../lib/theme.ts";

export interface Line {
  label: string;
  /** Name of a custom property. */
  color: string;
  values: (number | null)[];
  dash?: number[];
  /** Thin lines frame a band and are not in the foreground. */
  thin?: boolean;
}

export interface PlotData {
  /** Starts of the buckets, ms since 1970. */
  starts: number[];
  bucketSeconds: number;
  lines: Line[];
  /** Failed requests of each bucket. */
  errors?: number[];
  /** Indexes of the lines between which the plot is tinted: [upper, lower]. */
  band?: [number, number];
  range: { start: number; end: number };
  zone: string | undefined;
}

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const DAY_SECONDS = 86_400;

/** Columns for uPlot. Stacks are sums from the bottom up, the tallest first so that lower ones cover it. */
export function columns(data: PlotData, stacked: boolean): uPlot.AlignedData {
  const x = data.starts.map((start) => start / 1e3);
  if (!stacked) return [x, ...data.lines.map((line) => line.values)];
  const sums = x.map(() => 0);
  const stack = data.lines.map((line) =>
    line.values.map((value, at) => {
      sums[at] = (sums[at] ?? 0) + (value ?? 0);
      return sums[at] ?? 0;
    }),
  );
  return [x, ...stack.reverse()];
}

export interface PlotCalls {
  /** Newest data; options outlive it. */
  data(): PlotData;
  cursor(index: number | null): void;
  zoom(start: number, end: number): void;
}

export function plotOptions(
  calls: PlotCalls,
  size: { width: number; height: number },
  kind: { stacked: boolean; log: boolean; syncKey: string | undefined; format: (value: number) => string },
): uPlot.Options {
  const { lines, band, zone } = calls.data();
  const ratio = devicePixelRatio;
  const grid = { stroke: cssColor("--line"), width: 1 / ratio };
  const axis = { stroke: cssColor("--muted"), font: FONT, ticks: { show: false } };
  const labels = (_: uPlot, splits: number[]) => timeLabels(splits, zone);
  const series = lines.map((line): uPlot.Series => {
    const color = cssColor(line.color);
    if (!kind.stacked) {
      return {
        stroke: color,
        width: line.thin ? 1 : 2,
        ...(line.dash ? { dash: line.dash } : {}),
        points: { size: 5, fill: color },
      };
    }
    return {
      fill: color,
      stroke: "transparent",
      width: 0,
      points: { show: false },
      ...(uPlot.paths.bars ? { paths: uPlot.paths.bars({ size: [0.84, 48], align: 1 }) } : {}),
    };
  });
  if (kind.stacked) series.reverse();
  return {
    ...size,
    padding: [10, 4, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: !kind.stacked },
      drag: { x: true, y: false, setScale: false, dist: 6 },
      ...(kind.syncKey ? { sync: { key: kind.syncKey, setSeries: false } } : {}),
    },
    scales: {
      x: {
        time: true,
        range: () => {
          const { start, end } = calls.data().range;
          return [start / 1e3, end / 1e3];
        },
      },
      y: kind.log
        ? { distr: 3 }
        : { range: (_, __, max) => [0, Number.isFinite(max) && max > 0 ? max * 1.06 : 1] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, gap: 6, space: 72, values: labels },
      { ...axis, grid, size: 56, gap: 6, space: 44, values: (_, splits) => splits.map((v) => (v === null ? "" : kind.format(v))) },
    ],
    series: [{}, ...series],
    ...(band ? { bands: [{ series: [band[0] + 1, band[1] + 1], fill: tint(lines[band[0]]?.color ?? "--c1") }] } : {}),
    hooks: {
      drawClear: [(u) => dayLines(u, calls.data())],
      draw: [
        (u) => {
          if (kind.stacked) hatchUnfinished(u, calls.data());
          errorTicks(u, calls.data());
        },
      ],
      setCursor: [(u) => calls.cursor(cursorIndex(u, kind.stacked))],
      setSelect: [
        (u) => {
          if (u.select.width < 6) return;
          const start = u.posToVal(u.select.left, "x");
          const end = u.posToVal(u.select.left + u.select.width, "x");
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          calls.zoom(start * 1e3, end * 1e3);
        },
      ],
    },
  };
}

/** The bucket under the cursor. uPlot takes the nearest start, but a bar reaches to the right of its own. */
function cursorIndex(u: uPlot, stacked: boolean): number | null {
  const { left = -1, idx } = u.cursor;
  if (left < 0 || idx == null) return null;
  const start = u.data[0][idx] ?? 0;
  return stacked && idx > 0 && start > u.posToVal(left, "x") ? idx - 1 : idx;
}

function tint(name: string): string {
  return cssColor(name).replace(/^rgb\((.*)\)$/, "rgba($1, 0.16)");
}

/** Hours and minutes, the day where it changes, seconds where splits are that close. */
function timeLabels(splits: number[], zone: string | undefined): string[] {
  const step = (splits[1] ?? 0) - (splits[0] ?? 0);
  const day = dateFormat(zone, { month: "short", day: "numeric" });
  const clock = dateFormat(zone, {
    hour: "2-digit",
    minute: "2-digit",
    ...(step < 60 ? { second: "2-digit" as const } : {}),
  });
  return splits.map((at) => {
    const text = clock.format(at * 1e3);
    return step >= DAY_SECONDS || /^00:00(:00)?$/.test(text) ? day.format(at * 1e3) : text;
  });
}

/** A vertical line at each midnight, while days are few enough to tell apart. */
function dayLines(u: uPlot, { range, zone }: PlotData): void {
  const days = (range.end - range.start) / 1e3 / DAY_SECONDS;
  if (days > 32) return;
  const hour = dateFormat(zone, { hour: "2-digit", minute: "2-digit" });
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = cssColor("--line");
  const first = Math.ceil(range.start / 9e5) * 9e5;
  // Zones are off by quarters of an hour at the finest.
  for (let at = first; at <= range.end; ) {
    if (hour.format(at) === "00:00") {
      ctx.fillRect(Math.round(u.valToPos(at / 1e3, "x", true)), bbox.top, 1, bbox.height);
      at += 22 * 36e5;
    } else at += 9e5;
  }
  ctx.restore();
}

/** The bucket that is still filling looks unfinished. */
function hatchUnfinished(u: uPlot, { starts, bucketSeconds }: PlotData): void {
  const last = starts.length - 1;
  const start = (starts[last] ?? 0) / 1e3;
  const total = (u.data[1] as number[] | undefined)?.[last];
  if (!total || Date.now() / 1e3 >= start + bucketSeconds) return;
  const { ctx, bbox } = u;
  const left = u.valToPos(start, "x", true);
  const right = Math.min(u.valToPos(start + bucketSeconds, "x", true), bbox.left + bbox.width);
  const top = u.valToPos(total, "y", true);
  const bottom = bbox.top + bbox.height;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left - 1, top - 1, right - left + 2, bottom - top + 1);
  ctx.clip();
  ctx.strokeStyle = cssColor("--panel");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  const step = 5 * devicePixelRatio;
  ctx.beginPath();
  for (let x = left - (bottom - top) - step; x < right + step; x += step) {
    ctx.moveTo(x, bottom);
    ctx.lineTo(x + (bottom - top), top);
  }
  ctx.stroke();
  ctx.restore();
}

/** A red tick below the baseline for each bucket with errors. */
function errorTicks(u: uPlot, { starts, errors, bucketSeconds }: PlotData): void {
  if (!errors) return;
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = cssColor("--error");
  starts.forEach((start, at) => {
    if (!errors[at]) return;
    const left = u.valToPos(start / 1e3, "x", true);
    const width = u.valToPos(start / 1e3 + bucketSeconds, "x", true) - left;
    const x = Math.max(left, bbox.left);
    ctx.fillRect(x, bbox.top + bbox.height + devicePixelRatio, Math.max(width * 0.84, 2), 3 * devicePixelRatio);
  });
  ctx.restore();
}
