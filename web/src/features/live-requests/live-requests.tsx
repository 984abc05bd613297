// Requests in flight: phase, a running clock and the rate, patched straight from
// the event stream.
import { memo, useRef } from "react";
import { LINGER_MS, type Row, useLive } from "../../api/live.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Empty, Panel } from "../../components/panel.tsx";
import { Sparkline } from "../../components/sparkline.tsx";
import { Status, type Tone } from "../../components/status.tsx";
import { serverNow } from "../../lib/clock.ts";
import type { Sheet } from "../../lib/download.ts";
import { clock, count, duration, exact, rate } from "../../lib/format.ts";
import { type Names, useNames } from "../../lib/names.tsx";
import { useNow } from "../../lib/use-now.ts";
import { liveFilter, useView } from "../../lib/view.ts";
import styles from "./live-requests.module.css";
import { assignSlots } from "./slots.ts";

/** Lines, unless told otherwise. */
const LINES = 8;
/** Of a line, and of what is below them. */
const LINE_HEIGHT = 36;
const REST_HEIGHT = 12;
/** Pace of the clocks that run: tenths of a second that can still be read. */
const CLOCK_MS = 200;
/** A step of a bar is hardly a pixel in a second. */
const BAR_MS = 1_000;

/** `lines`: room for so many, which stays the same whatever runs, so that nothing below moves. */
export function LiveRequests({ lines = LINES }: { lines?: number }) {
  const live = useLive();
  const names = useNames();
  const [view, setView] = useView();
  const slots = useRef<(string | null)[]>([]);
  const passing = live.rows.filter(liveFilter(view.filters));
  const running = passing.filter((row) => row.endedAt === null).length;
  slots.current = assignSlots(slots.current, passing, lines);
  const height = lines * LINE_HEIGHT + REST_HEIGHT;
  const rows = new Map(passing.map((row) => [row.id, row]));
  const hidden = running - slots.current.filter((id) => id && rows.get(id)?.endedAt === null).length;
  return (
    <Panel
      title="In flight now"
      controls={
        <>
          {live.known ? <Note running={running} hidden={hidden} /> : null}
          <ExportMenu
            what="requests in flight"
            now
            sheet={live.known ? () => sheetOf(passing, names) : null}
          />
        </>
      }
    >
      {slots.current.length === 0 || !live.known ? (
        <Empty title={live.known ? "Nothing is running" : "Not known"} height={height}>
          {live.known
            ? "Requests appear here the moment they reach the proxy."
            : live.connection === "open"
              ? "Analytics is not reachable. Requests go on, and are shown again as soon as it is back."
              : "What runs now will be shown as soon as it is known."}
        </Empty>
      ) : (
        <ul className={styles.rows} style={{ minHeight: height }}>
          {Array.from({ length: lines }, (_, at) => {
            const row = rows.get(slots.current[at] ?? "");
            return row ? (
              <Line key={row.id} row={row} name={names.get(`client ${row.clientKey}`)} setView={setView} />
            ) : (
              // biome-ignore lint/suspicious/noArrayIndexKey: a line keeps its place, whatever is on it
              <li key={`free ${at}`} />
            );
          })}
        </ul>
      )}
    </Panel>
  );
}

const SHOWN = [
  "id",
  "state",
  "model",
  "clientKey",
  "upstream",
  "path",
  "stream",
  "contentEvents",
  "completionTokens",
  "responseBytes",
] as const;

const moment = (at: number | null) => (at === null ? null : new Date(at));

const sheetOf = (rows: Row[], names: Names): Sheet => ({
  names: [...SHOWN, "clientKeyName", "startedAt", "firstTokenAt"],
  rows: rows.map((row) => [
    ...SHOWN.map((name) => row[name]),
    names.get(`client ${row.clientKey}`) ?? null,
    moment(row.startedAt),
    moment(row.firstTokenAt),
  ]),
});

function Note({ running, hidden }: { running: number; hidden: number }) {
  return (
    <span className={styles.note}>
      {running} running{hidden > 0 ? `, ${hidden} more not shown` : ""}
    </span>
  );
}

interface LineProps {
  row: Row;
  setView: ReturnType<typeof useView>[1];
}

/** Phase in a word, with its tone. */
function phase(row: Row): { tone: Tone; text: string } {
  if (row.state === "completed") return { tone: "ok", text: "done" };
  if (row.state === "failed") return { tone: "error", text: "failed" };
  if (row.state === "cancelled") return { tone: "cancelled", text: "cancelled" };
  if (row.state === "streaming") return { tone: "running", text: "streaming" };
  return { tone: "running", text: row.phase === "REQUEST_PHASE_CONNECTING" ? "connecting" : "waiting" };
}

/** Narrows the view to the model, once it is known. */
function ModelName({ row: { model, path, upstream }, setView }: LineProps) {
  const title = `${path} at ${upstream}`;
  if (!model) {
    return (
      <span className="cut" title={title}>
        model not known yet
      </span>
    );
  }
  return (
    <button
      type="button"
      className={`cut ${styles.only}`}
      title={`${title}. Only ${model}`}
      onClick={() => setView({ model: [model] })}
    >
      {model}
    </button>
  );
}

/** Drawn anew when its own request changes, not when others do; only its clock and its bar run on. */
const Line = memo(function Line({ row, name, setView }: LineProps & { name: string | undefined }) {
  const running = row.endedAt === null;
  const end = row.endedAt ?? serverNow();
  const { tone, text } = phase(row);
  // Before the first content, and outside streams, how many there are is not known.
  const tokens = row.contentEvents > 0 ? (row.completionTokens ?? row.contentEvents) : null;
  const speed =
    row.firstTokenAt && end > row.firstTokenAt + 500
      ? (row.contentEvents * 1e3) / (end - row.firstTokenAt)
      : null;
  return (
    <li
      className={styles.row}
      data-over={!running}
      style={running ? {} : { animationDuration: `${LINGER_MS}ms` }}
    >
      <span className={styles.phase}>
        <Status tone={tone} text={text} />
      </span>
      <span className={styles.model}>
        <ModelName row={row} setView={setView} />
        <span
          className={`cut ${styles.client}`}
          title={row.clientKey ? `${name ?? "Fingerprint of the caller's key"}: ${row.clientKey}` : undefined}
        >
          {name ?? row.clientKey?.slice(0, 8) ?? "no key"}
          {row.stream ? "" : " · not streamed"}
        </span>
      </span>
      <Bar row={row} tone={tone} />
      <span className={styles.spark}>
        {row.rates.length > 1 ? <Sparkline values={row.rates} height={20} color="var(--completion)" /> : null}
      </span>
      <span className={styles.speed} title="Content events per second since the first token">
        {speed === null ? "" : `${rate(Math.round(speed * 10) / 10)} /s`}
      </span>
      <span
        className={styles.tokens}
        title={tokens === null ? "Not known" : `${exact(tokens)} so far, counted by content events`}
      >
        {tokens === null ? "–" : `${count(tokens)} tok`}
      </span>
      <span className={styles.clock}>
        {running ? <Clock from={row.startedAt} /> : duration(Math.max(0, end - row.startedAt))}
      </span>
    </li>
  );
});

function Clock({ from }: { from: number }) {
  return clock(Math.max(0, useNow(CLOCK_MS) - from));
}

/** How long it waited and how long it streams, to scale. */
function Bar({ row, tone }: { row: Row; tone: Tone }) {
  useNow(BAR_MS);
  const end = row.endedAt ?? serverNow();
  const elapsed = Math.max(0, end - row.startedAt);
  const waited = Math.min(elapsed, Math.max(0, (row.firstTokenAt ?? end) - row.startedAt));
  return (
    <span
      className={styles.bar}
      title={`${duration(waited)} until the first token, then ${duration(elapsed - waited)} of streaming`}
    >
      <i className={styles.waited} style={{ flexGrow: waited }} />
      <i className={styles.streamed} style={{ flexGrow: elapsed - waited }} data-tone={tone} />
    </span>
  );
}
