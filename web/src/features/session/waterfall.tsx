// The requests of a session on an axis of time, in lanes: what waits is pale, what streams
// is solid. Dragging and keys zoom; a click opens a request.
import { useId, useMemo, useState } from "react";
import { places } from "../../components/plot.tsx";
import { timeMarks } from "../../lib/axis.ts";
import { groupColor } from "../../lib/color.ts";
import { withDollars } from "../../lib/cost-words.ts";
import { count, duration, percent, time, zoneLabel } from "../../lib/format.ts";
import { outcomeWords } from "../../lib/outcome.ts";
import type { Moments } from "../../lib/time-range.ts";
import { useWidth } from "../../lib/use-width.ts";
import { type Bar, costOf, isFailed, type Layout, modelOf } from "./layout.ts";
import styles from "./session.module.css";

export type ColorBy = "model" | "outcome";

const TOP = 8;
const AXIS = 26;
/** Pixels of all lanes together, and of one. */
const ROOM = 400;
const LANE = { least: 6, most: 32 };
/** A click may miss a bar by so many pixels. */
const SLACK = 3;
/** No window is narrower, ms. */
const LEAST_MS = 20;

/** Custom property of a bar's colour. */
export function colorOf(bar: Bar, by: ColorBy): string {
  if (by === "model") return groupColor(`model ${modelOf(bar.event)}`);
  const { tone } = outcomeWords(bar.event);
  return { ok: "--c1", error: "--error", cancelled: "--cancelled" }[tone];
}

/** "12 of 40 · 14:05:12 · qwen3-8b · ok · 2.3 s, first token after 0.8 s · …". */
export function words({ bars }: Layout, index: number, zone: string | undefined): string {
  const bar = bars[index];
  if (!bar) return "";
  const { event } = bar;
  const { promptTokens: prompt, cachedPromptTokens: cached } = event;
  const cost = costOf(event);
  return [
    `${index + 1} of ${bars.length}`,
    time(bar.start, zone),
    modelOf(event) || "no model",
    outcomeWords(event).text,
    `${duration(event.duration)}${bar.first === null ? "" : `, first token after ${duration(event.firstToken)}`}`,
    `${count(prompt)} prompt${prompt && cached ? `, ${percent(cached / prompt)} cached` : ""}`,
    `${count(event.completionTokens)} completion`,
    ...(cost === null ? [] : [withDollars(cost)]),
    ...(bar.retryOf === null ? [] : [`retry of ${bar.retryOf + 1}`]),
  ].join(" · ");
}

/** A window within the whole, no narrower than can be told apart. */
export function within({ start, end }: Moments, whole: Moments): Moments {
  const length = Math.min(Math.max(end - start, LEAST_MS), Math.max(whole.end - whole.start, LEAST_MS));
  const from = Math.max(whole.start, Math.min((start + end - length) / 2, whole.end - length));
  return { start: from, end: from + length };
}

/** The window of `factor` times the length around a moment. */
export const scaled = ({ start, end }: Moments, factor: number, around = (start + end) / 2): Moments => ({
  start: around - (around - start) * factor,
  end: around + (end - around) * factor,
});

export function Waterfall(props: {
  layout: Layout;
  window: Moments;
  onWindow: (window: Moments) => void;
  index: number | null;
  onIndex: (index: number | null) => void;
  onOpen: (bar: Bar) => void;
  colorBy: ColorBy;
  zone: string | undefined;
}) {
  const { layout, window, index, zone } = props;
  const { bars, lanes } = layout;
  const [frame, width] = useWidth<HTMLDivElement>();
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const [spoken, setSpoken] = useState("");
  const help = useId();
  const lane = Math.min(Math.max(Math.floor(ROOM / lanes), LANE.least), LANE.most);
  const height = TOP + lanes * lane + AXIS;
  const axis = places({ buckets: { starts: [], ends: [], partial: [], range: window }, width, height });

  const placeOf = ({ clientX, clientY, currentTarget }: React.PointerEvent) => {
    const box = currentTarget.getBoundingClientRect();
    return { x: clientX - box.left, lane: Math.floor((clientY - box.top - TOP) / lane) };
  };
  const barAt = (place: { x: number; lane: number }): number | null => {
    const distance = (bar: Bar) => Math.max(axis.x(bar.start) - place.x, place.x - axis.x(bar.end));
    let [best, found] = [SLACK, null as number | null];
    bars.forEach((bar, at) => {
      if (bar.lane === place.lane && distance(bar) <= best) [best, found] = [Math.max(distance(bar), 0), at];
    });
    return found;
  };
  const end = (event: React.PointerEvent) => {
    if (drag && Math.abs(drag.to - drag.from) > 6) {
      const [start = 0, end = 0] = [drag.from, drag.to].sort((a, b) => a - b).map(axis.time);
      props.onWindow({ start, end });
    } else if (drag) {
      const bar = bars[barAt(placeOf(event)) ?? -1];
      if (bar) props.onOpen(bar);
    }
    setDrag(null);
  };
  const go = (to: number) => {
    const bar = bars[to];
    if (!bar) return;
    props.onIndex(to);
    setSpoken(words(layout, to, zone));
    if (bar.end < window.start || bar.start > window.end) {
      const half = (window.end - window.start) / 2;
      props.onWindow({ start: bar.start - half, end: bar.start + half });
    }
  };
  /** The request of the next lane up or down that begins closest to the chosen one. */
  const beside = (step: number): number => {
    const from = bars[index ?? 0];
    let [best, found] = [Infinity, -1];
    bars.forEach((bar, at) => {
      const away = Math.abs(bar.start - (from?.start ?? 0));
      if (bar.lane === (from?.lane ?? 0) + step && away < best) [best, found] = [away, at];
    });
    return found;
  };
  const key = (event: React.KeyboardEvent) => {
    const chosen = index === null ? undefined : bars[index];
    const keys: Record<string, () => void> = {
      ArrowRight: () => go(index === null ? 0 : index + 1),
      ArrowLeft: () => go(index === null ? bars.length - 1 : index - 1),
      ArrowDown: () => go(beside(1)),
      ArrowUp: () => go(beside(-1)),
      Home: () => go(0),
      End: () => go(bars.length - 1),
      Enter: () => chosen && props.onOpen(chosen),
      "+": () => props.onWindow(scaled(window, 0.5, chosen && (chosen.start + chosen.end) / 2)),
      "-": () => props.onWindow(scaled(window, 2)),
      "0": () => props.onWindow(layout),
      Escape: () => props.onIndex(null),
    };
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: no element stands for a chart that is walked by keys */}
      <div
        ref={frame}
        role="group"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: keys move through its requests
        tabIndex={0}
        className={styles.frame}
        style={{ height }}
        aria-label={`Requests of the session. ${bars.length} in ${lanes === 1 ? "one lane" : `${lanes} lanes`}, ${bars.filter((bar) => isFailed(bar.event)).length} failed, ${bars.filter((bar) => bar.retryOf !== null).length} retried.`}
        aria-describedby={help}
        onKeyDown={key}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture?.(event.pointerId);
          const { x } = placeOf(event);
          setDrag({ from: x, to: x });
        }}
        onPointerMove={(event) => {
          const place = placeOf(event);
          props.onIndex(barAt(place));
          if (drag) setDrag({ ...drag, to: place.x });
        }}
        onPointerUp={end}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => props.onIndex(null)}
        onDoubleClick={() => props.onWindow(layout)}
      >
        {width > 0 ? <Drawing {...props} width={width} height={height} lane={lane} axis={axis} /> : null}
        {drag ? (
          <i
            className={styles.selection}
            style={{
              left: Math.min(drag.from, drag.to),
              width: Math.abs(drag.to - drag.from),
              top: TOP,
              height: lanes * lane,
            }}
          />
        ) : null}
      </div>
      <span id={help} className="hidden">
        Left and right arrow keys move through the requests, up and down to other lanes, Enter opens one. Plus
        and minus zoom, 0 shows the whole session.
      </span>
      <span className="hidden" aria-live="polite">
        {spoken}
      </span>
    </>
  );
}

interface Drawn {
  layout: Layout;
  window: Moments;
  index: number | null;
  colorBy: ColorBy;
  zone: string | undefined;
  width: number;
  height: number;
  lane: number;
  axis: ReturnType<typeof places>;
}

function Drawing(props: Drawn) {
  const { layout, window, index, zone, width, height, lane, axis } = props;
  const [left, right] = [axis.x(window.start), axis.x(window.end)];
  const clip = (at: number) => Math.min(Math.max(axis.x(at), left), right);
  const top = (bar: Bar) => TOP + bar.lane * lane + (lane > 10 ? 2 : 1);
  const tall = lane - (lane > 10 ? 4 : 2);
  const bottom = TOP + layout.lanes * lane;
  const chosen = index === null ? undefined : layout.bars[index];
  const isShown = (bar: Bar) => bar.end >= window.start && bar.start <= window.end;
  // biome-ignore lint/correctness/useExhaustiveDependencies: places follow from window, width and lane
  const parts = useMemo(() => {
    const paths = new Map<string, string>();
    const add = (key: string, from: number, to: number, bar: Bar) => {
      const [a, b] = [clip(from), clip(to)];
      // At least a pixel and a half: something is not nothing.
      const box = `M${a.toFixed(1)} ${top(bar)}H${Math.max(b, a + 1.5).toFixed(1)}v${tall}H${a.toFixed(1)}z`;
      paths.set(key, (paths.get(key) ?? "") + box);
    };
    for (const bar of layout.bars) {
      if (!isShown(bar)) continue;
      const color = colorOf(bar, props.colorBy);
      if (bar.first === null) add(`${color} 0.6`, bar.start, bar.end, bar);
      else {
        add(`${color} 0.35`, bar.start, bar.first, bar);
        add(`${color} 1`, bar.first, bar.end, bar);
      }
      if (isFailed(bar.event)) add("failed", bar.start, bar.end, bar);
    }
    return [...paths];
  }, [layout, window, props.colorBy, width, lane]);
  return (
    <svg aria-hidden="true" width={width} height={height} className={styles.drawing}>
      {layout.gaps.map((gap) => {
        const [a, b] = [clip(gap.start), clip(gap.end)];
        // Pauses of a breath are seen without a frame.
        if (b - a < 12) return null;
        return (
          <g key={gap.start}>
            <rect x={a} y={TOP} width={b - a} height={bottom - TOP} className={styles.gap} />
            {b - a > 76 ? (
              <text x={(a + b) / 2} y={(TOP + bottom) / 2 + 4} textAnchor="middle">
                idle {duration(gap.end - gap.start)}
              </text>
            ) : null}
          </g>
        );
      })}
      {lane < 12 || layout.lanes < 2
        ? null
        : Array.from({ length: layout.lanes }, (_, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lanes are their numbers
            <text key={at} x={left - 8} y={TOP + (at + 0.5) * lane + 4} textAnchor="end">
              {at + 1}
            </text>
          ))}
      <path d={`M${left} ${bottom + 0.5}H${right}`} className={styles.axis} />
      {timeMarks(window, Math.max(2, Math.floor(width / 96)), zone).map(({ at, label }) => (
        <g key={at}>
          <path d={`M${Math.round(axis.x(at)) + 0.5} ${TOP}V${bottom + 3}`} className={styles.axis} />
          <text x={axis.x(at)} y={height - 8} textAnchor="middle">
            {axis.x(at) > left + 30 && axis.x(at) < right - 24 ? label : ""}
          </text>
        </g>
      ))}
      <text x={2} y={height - 8}>
        {zoneLabel(zone, window.end)}
      </text>
      {parts.map(([key, d]) => {
        const [color, opacity] = key.split(" ");
        return key === "failed" ? (
          <path key={key} d={d} className={styles.failed} />
        ) : (
          <path key={key} d={d} fill={`var(${color})`} opacity={opacity} />
        );
      })}
      {layout.bars.map((bar) => {
        const failed = bar.retryOf === null ? undefined : layout.bars[bar.retryOf];
        if (!failed || !isShown(bar)) return null;
        const [a, b] = [clip(failed.end), clip(bar.start)];
        return (
          <g key={bar.event.eventId} className={styles.retry}>
            <path d={`M${a} ${top(failed) + tall / 2}L${b} ${top(bar) + tall / 2}`} />
            <circle cx={b} cy={top(bar) + tall / 2} r={Math.min(3.5, tall / 2)} />
          </g>
        );
      })}
      {chosen && isShown(chosen) ? (
        <rect
          x={clip(chosen.start) - 1.5}
          y={top(chosen) - 1.5}
          width={Math.max(clip(chosen.end) - clip(chosen.start), 1.5) + 3}
          height={tall + 3}
          rx={2}
          className={styles.chosen}
        />
      ) : null}
    </svg>
  );
}
