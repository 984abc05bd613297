// The length of prompts against the time to the first token, of the latest streams:
// what a server takes for a long prompt, and which requests are off.
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import type { UsageEvent } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Button, Empty, Panel, QueryState } from "../../components/panel.tsx";
import { logMarks } from "../../lib/axis.ts";
import { groupColor } from "../../lib/color.ts";
import type { Sheet } from "../../lib/download.ts";
import { count, duration, exact } from "../../lib/format.ts";
import { useHref, useScope } from "../../lib/view.ts";
import styles from "./prompt-scatter.module.css";

const HEIGHT = 232;
/** The most that one question gives. */
const LATEST = 100;
/** Models with a colour of their own. */
const COLORED = 5;
const MARGIN = { left: 56, right: 12, top: 10, bottom: 26 };
/** A point is under the pointer within so many pixels. */
const NEAR = 24;
/** Less than so many pixels are a click. */
const DRAG = 6;

interface Point {
  event: UsageEvent;
  model: string;
  prompt: number;
  first: number;
}

/** Those that can be placed, shortest prompt first. */
const pointsOf = (rows: UsageEvent[]): Point[] =>
  rows
    .flatMap((event) =>
      event.promptTokens && event.firstToken
        ? [{ event, model: event.model ?? "no model", prompt: event.promptTokens, first: event.firstToken }]
        : [],
    )
    .sort((a, b) => a.prompt - b.prompt);

/** The models with the most points, those first. */
function coloredModels(points: Point[]): string[] {
  const sums = new Map<string, number>();
  for (const { model } of points) sums.set(model, (sums.get(model) ?? 0) + 1);
  return [...sums]
    .sort((a, b) => b[1] - a[1])
    .slice(0, COLORED)
    .map(([model]) => model);
}

const colorOf = (model: string, colored: string[]): string =>
  colored.includes(model) ? groupColor(`model ${model}`) : "--other";

const words = ({ model, prompt, first }: Point): string =>
  `${model}: ${count(prompt)} prompt tokens, first token after ${duration(first)}`;

const sheet = (points: Point[]): Sheet => ({
  names: ["eventId", "startedAt", "model", "promptTokens", "cachedPromptTokens", "firstTokenMs"],
  rows: points.map(({ event, model, prompt, first }) => [
    event.eventId,
    event.startedAt === null ? null : new Date(event.startedAt),
    model,
    prompt,
    event.cachedPromptTokens,
    first,
  ]),
});

export function PromptScatter({ onOpen }: { onOpen: (event: UsageEvent) => void }) {
  const scope = useScope();
  const query = useRpc("RecentRequests", [...scope.key, "scatter"], () => ({
    page: 1,
    pageSize: LATEST,
    range: scope.range(),
    filter: { ...scope.filter, stream: true },
  }));
  const [asTable, setAsTable] = useState(false);
  const points = useMemo(() => pointsOf(query.data?.rows ?? []), [query.data]);
  const colored = useMemo(() => coloredModels(points), [points]);
  return (
    <Panel
      title="Prompt length and first token"
      className={styles.panel}
      note={query.data ? `the latest ${exact(points.length)} streams that reported both` : ""}
      busy={query.isPlaceholderData && query.isFetching}
      controls={
        <>
          <Button quiet aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            {asTable ? "Chart" : "Table"}
          </Button>
          <ExportMenu
            what="prompt length and first token"
            sheet={points.length > 0 ? () => sheet(points) : null}
          />
        </>
      }
    >
      <QueryState query={query} what="prompt lengths" height={HEIGHT + 32}>
        {() =>
          points.length === 0 ? (
            <Empty
              title="No stream of this range reported its prompt and its first token"
              height={HEIGHT + 32}
            />
          ) : asTable ? (
            <Values points={points} onOpen={onOpen} />
          ) : (
            <Plot points={points} colored={colored} onOpen={onOpen} />
          )
        }
      </QueryState>
    </Panel>
  );
}

/** A logarithmic axis from below the least to above the greatest. */
function axis(values: number[], from: number, to: number) {
  const least = Math.min(...values) / 1.25;
  const most = Math.max(...values) * 1.25;
  const place = (value: number) => from + (Math.log(value / least) / Math.log(most / least)) * (to - from);
  const value = (at: number) => least * (most / least) ** ((at - from) / (to - from));
  return { place, value, marks: logMarks(least, most) };
}

function Plot(props: { points: Point[]; colored: string[]; onOpen: (event: UsageEvent) => void }) {
  const { points, colored, onOpen } = props;
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [index, setIndex] = useState<number | null>(null);
  const [spoken, setSpoken] = useState("");
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const [, navigate] = useLocation();
  const href = useHref();
  const help = useId();
  useEffect(() => {
    if (!frame.current || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  const bottom = HEIGHT - MARGIN.bottom;
  const x = axis(
    points.map(({ prompt }) => prompt),
    MARGIN.left,
    Math.max(width - MARGIN.right, MARGIN.left + 1),
  );
  const y = axis(
    points.map(({ first }) => first),
    bottom,
    MARGIN.top,
  );
  const nearest = (event: React.PointerEvent | React.MouseEvent): number | null => {
    const box = event.currentTarget.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    const far = points.map(({ prompt, first }) => Math.hypot(x.place(prompt) - left, y.place(first) - top));
    const least = Math.min(...far);
    return least <= NEAR ? far.indexOf(least) : null;
  };
  const across = (event: React.PointerEvent) =>
    event.clientX - event.currentTarget.getBoundingClientRect().left;
  /** A drag leads to the streams with prompts of these lengths, a click to the request under it. */
  const release = (event: React.PointerEvent) => {
    setDrag(null);
    if (drag && Math.abs(drag.to - drag.from) > DRAG) {
      const [least = 0, most = 0] = [drag.from, drag.to].map(x.value).sort((a, b) => a - b);
      const prompt = `${Math.max(0, Math.floor(least))}-${Math.ceil(most)}`;
      return navigate(href("/requests", { prompt: [prompt], stream: ["yes"] }));
    }
    const point = points[nearest(event) ?? -1];
    if (drag && point) onOpen(point.event);
  };
  const key = (event: React.KeyboardEvent) => {
    const current = index === null ? undefined : points[index];
    if (event.key === "Enter" && current) return onOpen(current.event);
    if (event.key === "Escape") return setIndex(null);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = Math.min(Math.max((index ?? (step > 0 ? -1 : points.length)) + step, 0), points.length - 1);
    setIndex(next);
    const point = points[next];
    if (point) setSpoken(words(point));
  };
  const shown = index === null ? undefined : points[index];
  return (
    <figure>
      <figcaption className={styles.legend}>
        <span className={`cut ${styles.at}`}>
          {shown ? words(shown) : "A click opens a request, a drag those with prompts of these lengths."}
        </span>
        {colored.map((model) => (
          <span key={model} className={styles.key}>
            <svg aria-hidden="true" width="8" height="8">
              <circle cx="4" cy="4" r="4" fill={`var(${colorOf(model, colored)})`} />
            </svg>
            <span className="cut">{model}</span>
          </span>
        ))}
      </figcaption>
      {/* biome-ignore lint/a11y/useSemanticElements: no element stands for a chart that is walked by keys */}
      <div
        ref={frame}
        role="group"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys move its cursor
        tabIndex={0}
        className={styles.frame}
        style={{ height: HEIGHT }}
        aria-label={`Prompt length against time to first token. ${summary(points)}`}
        aria-describedby={help}
        onKeyDown={key}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture?.(event.pointerId);
          setDrag({ from: across(event), to: across(event) });
        }}
        onPointerMove={(event) => {
          setIndex(nearest(event));
          if (drag) setDrag({ ...drag, to: across(event) });
        }}
        onPointerUp={release}
        onPointerCancel={() => setDrag(null)}
        onPointerLeave={() => setIndex(null)}
      >
        {width > 0 ? (
          <svg aria-hidden="true" width={width} height={HEIGHT} className={styles.plot}>
            {y.marks.map((value) => (
              <g key={value}>
                <path
                  d={`M${MARGIN.left} ${Math.round(y.place(value)) + 0.5}H${width - MARGIN.right}`}
                  className={styles.grid}
                />
                <text x={MARGIN.left - 8} y={y.place(value) + 4} textAnchor="end">
                  {duration(value)}
                </text>
              </g>
            ))}
            {x.marks.map((value) => (
              <text key={value} x={x.place(value)} y={HEIGHT - 8} textAnchor="middle">
                {count(value)}
              </text>
            ))}
            <text x={2} y={HEIGHT - 8}>
              tokens
            </text>
            {points.map(({ event, model, prompt, first }, at) => (
              <circle
                key={event.eventId}
                cx={x.place(prompt)}
                cy={y.place(first)}
                r={at === index ? 6 : 4}
                fill={`var(${colorOf(model, colored)})`}
                fillOpacity={at === index ? 1 : 0.65}
                stroke={at === index ? "var(--ink)" : "none"}
              />
            ))}
          </svg>
        ) : null}
        {drag && Math.abs(drag.to - drag.from) > DRAG ? (
          <i
            className={styles.selection}
            style={{
              left: Math.min(drag.from, drag.to),
              width: Math.abs(drag.to - drag.from),
              height: bottom - MARGIN.top,
            }}
          />
        ) : null}
      </div>
      <span id={help} className="hidden">
        Left and right arrow keys walk through the requests by the length of their prompts, Enter opens one.
      </span>
      <span className="hidden" aria-live="polite">
        {spoken}
      </span>
    </figure>
  );
}

/** Shortest and longest prompt with their waits, for those who cannot see it. */
function summary(points: Point[]): string {
  const [shortest, longest] = [points[0], points.at(-1)];
  if (!shortest || !longest) return "";
  const waits = points.map(({ first }) => first);
  return `${points.length} requests, prompts of ${count(shortest.prompt)} to ${count(longest.prompt)} tokens, first tokens after ${duration(Math.min(...waits))} to ${duration(Math.max(...waits))}.`;
}

function Values({ points, onOpen }: { points: Point[]; onOpen: (event: UsageEvent) => void }) {
  return (
    <section
      className={styles.table}
      style={{ height: HEIGHT + 16 }}
      aria-label="Prompt length and first token, as a table"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
    >
      <table>
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col" className="number">
              Prompt
            </th>
            <th scope="col" className="number">
              First token
            </th>
          </tr>
        </thead>
        <tbody>
          {points.map((point) => (
            <tr key={point.event.eventId}>
              <th scope="row">
                <button type="button" className={styles.open} onClick={() => onOpen(point.event)}>
                  {point.model}
                </button>
              </th>
              <td className="number">{exact(point.prompt)}</td>
              <td className="number">{duration(point.first)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
