// The requests of a session as a profiler shows calls: in lanes, so that those that ran
// side by side do not cover each other, with retries, and the times at which nothing ran.
import type { UsageEvent } from "../../api/types.ts";

export interface Bar {
  event: UsageEvent;
  start: number;
  end: number;
  /** When the first content came; the start of streaming. Null: not a stream, or nothing came. */
  first: number | null;
  /** From 0. */
  lane: number;
  /** Index of the failed request that it repeats. */
  retryOf: number | null;
}

export interface Layout {
  /** In the order of their starts. */
  bars: Bar[];
  lanes: number;
  start: number;
  end: number;
  /** Times at which nothing ran, between the first start and the last end. */
  gaps: { start: number; end: number }[];
}

/** A repetition begins within this time after the end of what failed. */
export const RETRY_MS = 10_000;

export const modelOf = (event: UsageEvent): string => event.model ?? event.modelRequested ?? "";
export const isFailed = ({ outcome }: UsageEvent): boolean =>
  outcome !== "OUTCOME_OK" && outcome !== "OUTCOME_CLIENT_CLOSED";
export const costOf = ({ cost }: UsageEvent): number | null => cost?.nanoUsd ?? null;

export function layOut(events: UsageEvent[]): Layout {
  const bars = events
    .map((event): Bar => {
      const start = event.startedAt ?? 0;
      const end = start + (event.duration ?? 0);
      const first = event.firstToken === null ? null : Math.min(start + event.firstToken, end);
      return { event, start, end, first, lane: 0, retryOf: null };
    })
    .sort((a, b) => a.start - b.start);
  const lanes = intoLanes(bars, mostAtOnce(bars));
  markRetries(bars);
  const start = bars[0]?.start ?? 0;
  const end = bars.reduce((last, bar) => Math.max(last, bar.end), start);
  return { bars, lanes, start, end, gaps: gapsOf(bars) };
}

function mostAtOnce(bars: Bar[]): number {
  const ends = bars.map(({ end }) => end).sort((a, b) => a - b);
  let [most, ended] = [0, 0];
  bars.forEach(({ start }, at) => {
    while ((ends[ended] ?? Infinity) <= start) ended += 1;
    most = Math.max(most, at + 1 - ended);
  });
  return Math.max(most, 1);
}

/** What a lane had last. */
interface Last {
  end: number;
  model: string;
  prompt: number | null;
}

/**
 * At least as many lanes as requests ran at once. Of those that are free, a request takes
 * the one whose conversation it most likely goes on with: the same model, and a prompt of
 * about the same length, since contexts grow step by step. A lane whose conversation goes
 * on later waits for it: an agent does so while its sub-agents run. Returns how many
 * lanes there are.
 */
function intoLanes(bars: Bar[], atOnce: number): number {
  const lanes: Last[] = [];
  bars.forEach((bar, at) => {
    const model = modelOf(bar.event);
    const prompt = bar.event.promptTokens;
    const free = lanes.flatMap((lane, index) =>
      lane.end > bar.start ? [] : [{ lane, index, distance: distanceOf(lane, model, prompt) }],
    );
    free.sort((a, b) => a.distance - b.distance);
    const open = free.filter(({ lane }) => !waits(lane, prompt, bars, at));
    const room = lanes.length < atOnce + MORE;
    bar.lane = (open[0] ?? (room ? undefined : free[0]))?.index ?? lanes.length;
    const last = lanes[bar.lane];
    lanes[bar.lane] = { end: bar.end, model, prompt: prompt ?? last?.prompt ?? null };
  });
  return Math.max(lanes.length, 1);
}

/** Lanes beside those that are needed, for conversations that wait. */
const MORE = 2;
/** Requests that are looked at for one that goes on. */
const AHEAD = 200;

const distanceOf = (lane: Last, model: string, prompt: number | null): number =>
  (lane.prompt && prompt ? Math.abs(Math.log2(prompt / lane.prompt)) : 0.5) + (lane.model === model ? 0 : 2);

/** Whether a prompt of another length is no part of a lane's conversation, which goes on later. */
function waits(lane: Last, prompt: number | null, bars: Bar[], at: number): boolean {
  const had = lane.prompt;
  if (!had || !prompt || Math.abs(Math.log2(prompt / had)) < 1) return false;
  return bars.slice(at + 1, at + 1 + AHEAD).some(({ event }) => {
    const next = event.promptTokens ?? 0;
    return modelOf(event) === lane.model && next >= had && next <= had * 1.5;
  });
}

/** Each failure is repeated by the first request of its model that begins soon after its end. */
function markRetries(bars: Bar[]): void {
  bars.forEach((failed, at) => {
    if (!isFailed(failed.event)) return;
    const asked = failed.event.modelRequested ?? modelOf(failed.event);
    const retry = bars.find(
      (bar, later) =>
        later > at &&
        bar.retryOf === null &&
        bar.start >= failed.end &&
        bar.start <= failed.end + RETRY_MS &&
        (bar.event.modelRequested ?? modelOf(bar.event)) === asked,
    );
    if (retry) retry.retryOf = at;
  });
}

function gapsOf(bars: Bar[]): Layout["gaps"] {
  const gaps: Layout["gaps"] = [];
  let until = bars[0]?.start ?? 0;
  for (const { start, end } of bars) {
    if (start > until) gaps.push({ start: until, end: start });
    until = Math.max(until, end);
  }
  return gaps;
}

export interface Growth {
  starts: number[];
  ends: number[];
  lanes: { lane: number; prompt: (number | null)[]; cached: (number | null)[] }[];
  /** Cost of all requests so far, in billionths of a dollar. */
  cost: (number | null)[];
}

/**
 * At the start of each request, the last known length of the prompts of each lane, and
 * what has been paid so far; at most `most` lanes, those with the longest prompts.
 */
export function growthOf({ bars, lanes, end }: Layout, most: number): Growth {
  const starts = bars.map(({ start }) => start);
  const column = (lane: number, value: (event: UsageEvent) => number | null) => {
    let last: number | null = null;
    // After its last request a lane is over.
    const over = bars.findLastIndex((bar) => bar.lane === lane);
    return bars.map((bar, at) => {
      if (bar.lane === lane) last = value(bar.event) ?? last;
      return at > over ? null : last;
    });
  };
  const longest = (lane: number) =>
    bars.reduce((most, bar) => (bar.lane === lane ? Math.max(most, bar.event.promptTokens ?? 0) : most), 0);
  const shown = Array.from({ length: lanes }, (_, lane) => lane)
    .sort((a, b) => longest(b) - longest(a))
    .slice(0, most)
    .sort((a, b) => a - b);
  let paid: number | null = null;
  return {
    starts,
    ends: starts.map((_, at) => starts[at + 1] ?? end),
    lanes: shown.map((lane) => ({
      lane,
      prompt: column(lane, ({ promptTokens }) => promptTokens),
      cached: column(lane, ({ promptTokens, cachedPromptTokens }) =>
        promptTokens === null ? null : (cachedPromptTokens ?? 0),
      ),
    })),
    cost: bars.map(({ event }) => {
      const cost = costOf(event);
      if (cost !== null) paid = (paid ?? 0) + cost;
      return paid;
    }),
  };
}
