// One session: what it took, its requests as a profiler shows calls, how its contexts grew
// and what was paid so far. A session that runs grows with each request that ends.
import { useMemo, useState } from "react";
import { Link } from "wouter";
import type { SessionRow, UsageEvent } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Button, Empty, Panel, QueryState, Select } from "../../components/panel.tsx";
import { Pager, pageOf } from "../../components/ranked-table.tsx";
import { TimeChart } from "../../components/time-chart.tsx";
import { serverNow } from "../../lib/clock.ts";
import { groupColor } from "../../lib/color.ts";
import { costText, knownCost, money, rateWords } from "../../lib/cost.ts";
import { costTitle, savingWords } from "../../lib/cost-words.ts";
import { count, dateTime, duration, exact, percent } from "../../lib/format.ts";
import { absolute, type Moments } from "../../lib/time-range.ts";
import { tokensOf } from "../../lib/usage.ts";
import { useHref, useView } from "../../lib/view.ts";
import type { Zoom } from "../../lib/zoom.ts";
import { type Bar, costOf, type Growth, growthOf, type Layout, layOut, modelOf } from "./layout.ts";
import { RequestTable, requestsSheet } from "./request-table.tsx";
import styles from "./session.module.css";
import { type ColorBy, colorOf, scaled, Waterfall, within, words } from "./waterfall.tsx";

const PAGE = 500;
const HEIGHT = 300;
/** Lanes that the chart of contexts tells apart. */
const FEW = 6;
/** A session without a request for so long is over, and not asked for with every event. */
const OVER_MS = 3_600_000;

const COLORS = [
  ["model", "Colour by model"],
  ["outcome", "Colour by outcome"],
] as const;

export function SessionView({ session, onOpen }: { session: string; onOpen: (event: UsageEvent) => void }) {
  const [view] = useView();
  const page = pageOf(view.get("page"));
  const [over, setOver] = useState(false);
  const query = useRpc("Session", [session, page], () => ({ session, page, pageSize: PAGE }), { past: over });
  const sums = query.data?.session;
  const isOver = sums ? serverNow() - (sums.lastEndedAt ?? 0) > OVER_MS : false;
  if (isOver !== over) setOver(isOver);
  const requests = query.data?.requests;
  const layout = useMemo(() => layOut(requests ?? []), [requests]);
  return (
    <QueryState query={query} what="the session" height={600}>
      {() =>
        sums ? (
          <>
            <Facts sums={sums} layout={layout} />
            {layout.bars.length > 0 ? (
              <Requests
                key={`${session} ${page}`}
                layout={layout}
                sums={sums}
                onOpen={(bar) => onOpen(bar.event)}
              />
            ) : (
              <Panel title="Requests" controls={<Pager what="requests" size={PAGE} total={sums.requests} />}>
                <Empty title="There are no requests on this page" height={120} />
              </Panel>
            )}
          </>
        ) : (
          <Panel title="Session">
            <Empty title="No such session" height={200}>
              It is older than what is kept, or its first request has not ended yet.
            </Empty>
          </Panel>
        )
      }
    </QueryState>
  );
}

function Facts({ sums, layout }: { sums: SessionRow; layout: Layout }) {
  const [view] = useView();
  const wall = (sums.lastEndedAt ?? 0) - (sums.firstStartedAt ?? 0);
  const model = sums.modelTime ?? 0;
  const whole = layout.bars.length === sums.requests;
  const idle = layout.gaps.reduce((sum, { start, end }) => sum + end - start, 0);
  const cached = sums.promptTokens > 0 ? sums.cachedPromptTokens / sums.promptTokens : null;
  const facts: [string, string, string, string?][] = [
    [
      "Requests",
      exact(sums.requests),
      sums.failedRequests > 0 ? `${exact(sums.failedRequests)} failed` : "none failed",
    ],
    [
      "Wall time",
      duration(wall),
      whole
        ? `${duration(idle)} of it without a request`
        : `since ${dateTime(sums.firstStartedAt, view.zone)}`,
    ],
    [
      "Model time",
      duration(model),
      wall > 0 ? `${percent(model / wall)} of the wall time` : "",
      "Durations of all requests together",
    ],
    [
      "Tokens",
      count(tokensOf(sums)),
      `${count(sums.promptTokens)} prompt · ${count(sums.completionTokens)} completion`,
    ],
    ["Cached", percent(cached), "of the prompt tokens"],
    ...(knownCost(sums.cost) === null
      ? []
      : ([
          [
            "Cost",
            costText(sums.cost),
            savingWords(sums.cost?.cacheSavingNanoUsd) ?? "no cache was used",
            costTitle(sums.cost),
          ],
        ] as [string, string, string, string][])),
  ];
  return (
    <dl className={styles.facts}>
      {facts.map(([name, value, sub, title = sub]) => (
        <div key={name} title={title}>
          <dt>{name}</dt>
          <dd>
            {value}
            <small>{sub}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Requests(props: { layout: Layout; sums: SessionRow; onOpen: (bar: Bar) => void }) {
  const { layout, sums, onOpen } = props;
  const [view] = useView();
  const [zoomed, setZoomed] = useState<Moments | null>(null);
  const [index, setIndex] = useState<number | null>(null);
  const [colorBy, setColorBy] = useState<ColorBy>("model");
  const [asTable, setAsTable] = useState(false);
  const whole = { start: layout.start, end: Math.max(layout.end, layout.start + 1) };
  const window = zoomed ? within(zoomed, whole) : whole;
  // A window as long as the session is none: it goes on to show what comes.
  const show = (to: Moments) => {
    const next = within(to, whole);
    setZoomed(next.end - next.start >= whole.end - whole.start ? null : next);
  };
  const href = useHref();
  const first = sums.firstStartedAt ?? 0;
  const several = sums.requests > layout.bars.length;
  return (
    <>
      <Panel
        title="Requests"
        note={several ? `${exact(layout.bars.length)} of ${exact(sums.requests)}` : ""}
        controls={
          <>
            <Link
              href={href(
                "/requests",
                { session: [sums.session] },
                { ...absolute({ start: first - 1e3, end: (sums.lastStartedAt ?? first) + 1e3 }) },
              )}
            >
              In the list
            </Link>
            <Pager what="requests" size={PAGE} total={sums.requests} />
            <Select label="Colour" value={colorBy} options={COLORS} onChange={setColorBy} />
            <Button quiet aria-label="Zoom out" disabled={!zoomed} onClick={() => show(scaled(window, 2))}>
              −
            </Button>
            <Button quiet aria-label="Zoom in" onClick={() => show(scaled(window, 0.5))}>
              +
            </Button>
            <Button quiet disabled={!zoomed} onClick={() => setZoomed(null)}>
              All
            </Button>
            <Button quiet aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
              {asTable ? "Chart" : "Table"}
            </Button>
            <ExportMenu what={`session ${sums.session}`} sheet={() => requestsSheet(layout)} now />
          </>
        }
      >
        {asTable ? (
          <RequestTable layout={layout} onOpen={onOpen} />
        ) : (
          <figure>
            <Legend layout={layout} by={colorBy} />
            <p className={styles.details}>
              {index === null ? (
                <span className="muted">
                  Drag to zoom in, double-click for the whole, click a request to open it.
                </span>
              ) : (
                words(layout, index, view.zone)
              )}
            </p>
            <Waterfall
              layout={layout}
              window={window}
              onWindow={show}
              index={index}
              onIndex={setIndex}
              onOpen={onOpen}
              colorBy={colorBy}
              zone={view.zone}
            />
          </figure>
        )}
      </Panel>
      <GrowthCharts
        layout={layout}
        window={window}
        partly={several}
        index={index}
        onIndex={setIndex}
        zoom={{
          zoom: show,
          undo: () => setZoomed(null),
          canUndo: () => zoomed !== null,
          open: ({ start }) => {
            const bar = layout.bars.find((one) => one.start >= start);
            if (bar) onOpen(bar);
          },
        }}
      />
    </>
  );
}

function Legend({ layout, by }: { layout: Layout; by: ColorBy }) {
  const names = new Map<string, string>();
  for (const bar of layout.bars) {
    const name =
      by === "model"
        ? modelOf(bar.event) || "no model"
        : ({ "--c1": "ok", "--error": "failed" }[colorOf(bar, by)] ?? "cancelled");
    names.set(name, colorOf(bar, by));
  }
  return (
    <figcaption className={styles.legend}>
      {[...names].map(([name, color]) => (
        <span key={name}>
          <i style={{ background: `var(${color})` }} /> {name}
        </span>
      ))}
      <span>
        pale: until the first token · solid: streaming · half: not streamed · red frame: failed · ○ retry
      </span>
    </figcaption>
  );
}

/** What of the columns lies in the window. */
function cut(growth: Growth, window: Moments) {
  const from = growth.starts.findIndex((start) => start >= window.start);
  const found = growth.starts.findLastIndex((start) => start <= window.end);
  const part = <T,>(column: T[]): T[] => (from < 0 ? [] : column.slice(from, found + 1));
  const starts = part(growth.starts);
  return {
    from: Math.max(from, 0),
    part,
    buckets: { starts, ends: part(growth.ends), partial: starts.map(() => false), range: window },
  };
}

function GrowthCharts(props: {
  layout: Layout;
  window: Moments;
  partly: boolean;
  index: number | null;
  onIndex: (index: number | null) => void;
  zoom: Zoom;
}) {
  const { layout, window, index } = props;
  const [view] = useView();
  const growth = useMemo(() => growthOf(layout, FEW), [layout]);
  const [tables, setTables] = useState({ context: false, cost: false });
  const { from, part, buckets } = cut(growth, window);
  const common = {
    kind: "lines" as const,
    buckets,
    zone: view.zone,
    zoom: props.zoom,
    cursor: [
      index !== null && buckets.starts[index - from] !== undefined ? index - from : null,
      (at: number | null) => props.onIndex(at === null ? null : at + from),
    ] as [number | null, (at: number | null) => void],
  };
  const laneNames = namesOf(layout, growth);
  const context = {
    ...common,
    name: "Prompt tokens over time",
    format: count,
    lines: growth.lanes.flatMap(({ prompt, cached }, at) => {
      const { label, color } = laneNames[at] ?? { label: "", color: "--c1" };
      return [
        { label, color, values: part(prompt) },
        { label: `${label}, cached`, color, dash: "3 3", values: part(cached) },
      ];
    }),
  };
  const paid = {
    ...common,
    name: "Cost so far",
    format: money,
    money: true,
    lines: [{ label: "cost so far", color: "--cost", values: part(growth.cost) }],
  };
  const known = layout.bars.some(({ event }) => costOf(event) !== null);
  const shown = growth.lanes.length < layout.lanes ? `the ${FEW} longest of ${layout.lanes} lanes` : "";
  const controls = (which: "context" | "cost", chart: typeof context | typeof paid) => (
    <>
      <Button
        quiet
        aria-pressed={tables[which]}
        onClick={() => setTables({ ...tables, [which]: !tables[which] })}
      >
        {tables[which] ? "Chart" : "Table"}
      </Button>
      <ExportMenu what={chart.name.toLowerCase()} chart={chart} now />
    </>
  );
  return (
    <>
      <Panel
        title="Context"
        note={shown || "prompt tokens of each lane"}
        controls={controls("context", context)}
      >
        <TimeChart {...context} height={HEIGHT - 80} asTable={tables.context} />
      </Panel>
      {known ? (
        <Panel
          title="Cost so far"
          note={[props.partly && "of the requests of this page", rateWords()].filter(Boolean).join(", ")}
          controls={controls("cost", paid)}
        >
          <TimeChart {...paid} height={HEIGHT / 2} asTable={tables.cost} />
        </Panel>
      ) : null}
    </>
  );
}

/** A lane is called after the model that it used most, and has its colour. */
const namesOf = ({ bars }: Layout, { lanes }: Growth): { label: string; color: string }[] =>
  lanes.map(({ lane }) => {
    const uses = new Map<string, number>();
    for (const bar of bars)
      if (bar.lane === lane) uses.set(modelOf(bar.event), (uses.get(modelOf(bar.event)) ?? 0) + 1);
    const model = [...uses].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
    return { label: `lane ${lane + 1}${model ? ` ${model}` : ""}`, color: groupColor(`model ${model}`) };
  });
