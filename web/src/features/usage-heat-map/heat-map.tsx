// When it is busy: hours of the day by days of the week.
import { useEffect, useMemo, useRef, useState } from "react";
import { useRpc } from "../../api/use-rpc.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Empty, Panel, QueryState, Segments } from "../../components/panel.tsx";
import type { Sheet } from "../../lib/download.ts";
import { count, dateFormat, exact, zoneLabel } from "../../lib/format.ts";
import { useScope, useView } from "../../lib/view.ts";
import { useZoom } from "../../lib/zoom.ts";
import { type Cell, DAYS, HOURS, heat } from "./heat.ts";
import styles from "./heat-map.module.css";

const HEIGHT = 260;
/** The server gives at most 1,500 buckets. */
const MOST_MS = 60 * 86_400_000;
/** Hours stand side by side where each has a place of a target's size. */
const WIDE = 700;
const METRICS = [
  ["tokens", "Tokens"],
  ["requests", "Requests"],
] as const;

/** 5 January 1970 was a Monday. */
const dayName = (day: number, style: "short" | "long"): string =>
  dateFormat("UTC", { weekday: style }).format(Date.UTC(1970, 0, 5 + day));
const hourName = (hour: number): string => `${String(hour).padStart(2, "0")}:00`;

function useHours() {
  const scope = useScope();
  const asked = () => {
    const { start, end } = scope.moments();
    return { start: Math.max(start, end - MOST_MS), end };
  };
  const query = useRpc(
    "UsageTimeseries",
    [...scope.key, "hours"],
    () => ({
      range: { ...scope.range(), start: asked().start },
      filter: scope.filter,
      timeZone: scope.zone,
      bucketSeconds: 3_600,
    }),
    // A minute late is soon enough for means of hours.
    { past: true },
  );
  return { query, asked };
}

const sheet = (cells: Cell[], metric: string): Sheet => ({
  names: ["weekday", "hour", `${metric}PerHour`, "hoursOfTheRange"],
  rows: cells.map(({ day, hour, mean, hours }) => [dayName(day, "long"), hour, mean, hours]),
});

export function HeatMap() {
  const [view, setView] = useView();
  const scope = useScope();
  const { query, asked } = useHours();
  const { data } = query;
  const metric = view.get("heat") === "requests" ? "requests" : "tokens";
  // biome-ignore lint/correctness/useExhaustiveDependencies: the range is read when there is another answer
  const cells = useMemo(() => (data ? heat(data, metric, asked(), scope.zone) : []), [data, metric, scope]);
  const long = scope.moments().end - scope.moments().start > MOST_MS;
  const busy = cells.some(({ sum }) => sum > 0);
  return (
    <Panel
      title="Hours of the week"
      note={`mean of an hour, ${zoneLabel(scope.zone, asked().end)}${long ? ", of the last 60 days of the range" : ""}`}
      busy={query.isPlaceholderData && query.isFetching}
      className={styles.panel}
      controls={
        <>
          <Segments
            label="Value of an hour"
            value={metric}
            options={METRICS}
            onChange={(value) => setView({ heat: value === "tokens" ? null : value }, true)}
          />
          <ExportMenu what="hours of the week" sheet={busy ? () => sheet(cells, metric) : null} />
        </>
      }
    >
      <QueryState query={query} what="hours of the week" height={HEIGHT}>
        {() =>
          busy ? (
            <Grid cells={cells} metric={metric} />
          ) : (
            <Empty
              title={
                metric === "tokens" ? "No tokens were reported in this range" : "No requests in this range"
              }
              height={HEIGHT}
            />
          )
        }
      </QueryState>
    </Panel>
  );
}

function Grid({ cells, metric }: { cells: Cell[]; metric: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const [wide, setWide] = useState(true);
  const [at, setAt] = useState(0);
  const [shown, setShown] = useState<number | null>(null);
  const { open } = useZoom();
  useEffect(() => {
    if (!frame.current || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(([entry]) => setWide((entry?.contentRect.width ?? WIDE) >= WIDE));
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  const most = Math.max(...cells.map(({ mean }) => mean ?? 0));
  const words = ({ day, hour, mean, hours }: Cell): string =>
    `${dayName(day, "long")} ${hourName(hour)}: ${
      mean === null
        ? "not in the range"
        : `${count(mean)} ${mean === 1 ? metric.slice(0, -1) : metric} an hour`
    }${hours > 1.01 ? `, mean of ${exact(Math.round(hours * 10) / 10)} hours` : ""}`;
  const go = (to: number) => {
    setAt(to);
    setShown(to);
    frame.current?.querySelector<HTMLElement>(`[data-cell="${to}"]`)?.focus();
  };
  const key = (event: React.KeyboardEvent) => {
    const [along, across] = wide ? [1, HOURS] : [HOURS, 1];
    const step = { ArrowRight: along, ArrowLeft: -along, ArrowDown: across, ArrowUp: -across }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const to = at + step;
    // A step of an hour stays in its day.
    const sameDay = Math.floor(to / HOURS) === Math.floor(at / HOURS);
    if (to >= 0 && to < cells.length && (Math.abs(step) === HOURS || sameDay)) go(to);
  };
  const show = (cell: Cell) => {
    if (cell.last && cell.sum > 0) open(cell.last);
  };
  const square = (index: number) => {
    const cell = cells[index];
    if (!cell) return null;
    const share = cell.mean === null || most === 0 ? 0 : cell.mean / most;
    return (
      <td key={index}>
        <button
          type="button"
          data-cell={index}
          tabIndex={index === at ? 0 : -1}
          className={styles.cell}
          data-none={cell.mean === null}
          style={{
            // By the square root, so that a quiet hour is still told from none.
            background: `color-mix(in oklab, var(--c1) ${Math.round(Math.sqrt(share) * 100)}%, var(--hover))`,
          }}
          title={`${words(cell)}${cell.sum > 0 ? ". Opens its requests, the latest ones" : ""}`}
          onClick={() => show(cell)}
          onFocus={() => {
            setAt(index);
            setShown(index);
          }}
          onPointerEnter={() => setShown(index)}
        >
          <span className="hidden">{words(cell)}</span>
        </button>
      </td>
    );
  };
  const columns = wide ? HOURS : DAYS;
  const rows = wide ? DAYS : HOURS;
  const day = (index: number) => (
    <>
      <span aria-hidden="true">{dayName(index, "short")}</span>
      <span className="hidden">{dayName(index, "long")}</span>
    </>
  );
  const hour = (index: number) =>
    wide && index % 3 !== 0 ? <span className="hidden">{hourName(index)}</span> : hourName(index);
  const current = shown === null ? undefined : cells[shown];
  return (
    <div ref={frame} className={styles.frame} onPointerLeave={() => setShown(null)}>
      <p className={styles.shown}>
        {current
          ? words(current)
          : "The stronger the colour, the more. A click opens the latest requests of an hour."}
        <span className={styles.scale} aria-hidden="true">
          0 <i /> {count(most)}
        </span>
      </p>
      <table className={styles.table} data-wide={wide} onKeyDown={key}>
        <thead>
          <tr>
            <th scope="col">
              <span className="hidden">{wide ? "Day" : "Hour"}</span>
            </th>
            {Array.from({ length: columns }, (_, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: days and hours keep their places
              <th key={index} scope="col">
                {wide ? hour(index) : day(index)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {Array.from({ length: rows }, (_, row) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: days and hours keep their places
            <tr key={row}>
              <th scope="row">{wide ? day(row) : hour(row)}</th>
              {Array.from({ length: columns }, (_, column) =>
                square(wide ? row * HOURS + column : column * HOURS + row),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
