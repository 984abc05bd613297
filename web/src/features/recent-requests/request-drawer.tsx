// Everything that is known of one request: its time line to scale, its numbers
// and where they come from. Never a prompt or an answer: they are not recorded.
import { type ReactNode, useEffect, useRef } from "react";
import { Link } from "wouter";
import { useLiveValue } from "../../api/live.ts";
import type { UsageEvent } from "../../api/types.ts";
import { Button, Empty } from "../../components/panel.tsx";
import { Rename } from "../../components/rename.tsx";
import { Status } from "../../components/status.tsx";
import { bytes, dateTime, duration, exact, rate, UNKNOWN } from "../../lib/format.ts";
import { useNames } from "../../lib/names.tsx";
import { outcomeWords, USAGE_SOURCES } from "../../lib/outcome.ts";
import { type FilterKey, useHref, useView } from "../../lib/view.ts";
import { costFacts } from "./cost-facts.ts";
import styles from "./request-drawer.module.css";
import { useOneRequest } from "./use-one-request.ts";

export function RequestDrawer({ id, onClose }: { id: string; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { event, error } = useOneRequest(id);
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal?.();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a click beside the drawer closes it, as Escape does
    <dialog
      ref={dialog}
      className={styles.drawer}
      aria-label="Request"
      onClose={onClose}
      onClick={(click) => click.target === dialog.current && dialog.current.close()}
    >
      <div className={styles.body}>
        <header className={styles.head}>
          <h2>{event?.model ?? event?.modelRequested ?? "Request"}</h2>
          <Button quiet aria-label="Close" onClick={() => dialog.current?.close()}>
            ×
          </Button>
        </header>
        {event ? (
          <Details event={event} />
        ) : error ? (
          <Empty title="Could not load the request">{error.message}</Empty>
        ) : event === null ? (
          <Empty title="No such request">It is older than what is kept, or never ended.</Empty>
        ) : (
          <Empty title="Loading…" />
        )}
      </div>
    </dialog>
  );
}

function Details({ event }: { event: UsageEvent }) {
  const [view] = useView();
  const href = useHref();
  const source = USAGE_SOURCES[event.usageSource];
  return (
    <>
      <p className={styles.lead}>
        <Status {...outcomeWords(event)} />
        <span className="muted">{dateTime(event.startedAt, view.zone)}</span>
        <span className="mono">
          {event.method} {event.path}
        </span>
      </p>
      {event.errorType ? <p className={styles.error}>{event.errorType}</p> : null}
      <Timeline event={event} />
      <Facts
        title="Tokens"
        facts={[
          ["Prompt", exact(event.promptTokens)],
          ["of which cached", exact(event.cachedPromptTokens)],
          ["of which written to the cache", exact(event.cacheWriteTokens)],
          ...some("of which audio", event.audioPromptTokens),
          ...some("of which images", event.imagePromptTokens),
          ["Completion", exact(event.completionTokens)],
          ["of which reasoning", exact(event.reasoningTokens)],
          ...some("of which audio", event.audioCompletionTokens),
          ...some("of which images", event.imageCompletionTokens),
          ["Total", exact(event.totalTokens)],
          ...some("Images made", event.images),
          ...some("Characters spoken", event.characters),
          ["Usage", source.text],
        ]}
        note={source.meaning}
      />
      <Facts title="Cost" {...costFacts(event)} />
      <Facts
        title="Speed"
        facts={[
          ["Prefill", withUnit(event.prefillTokensPerSecond)],
          ["Decode", withUnit(event.decodeTokensPerSecond)],
          ["Content events", event.stream ? exact(event.contentEvents) : UNKNOWN],
        ]}
        note={
          {
            SPEED_SOURCE_UPSTREAM: "Reported by the upstream",
            SPEED_SOURCE_MEASURED: "Measured on the stream",
            SPEED_SOURCE_UNSPECIFIED: "Not measurable",
          }[event.speedSource]
        }
      />
      <Facts
        title="Request"
        facts={[
          ["Upstream", <Narrow key="upstream" by="upstream" value={event.upstream} />],
          ["API", event.dialect],
          [
            "Model asked for",
            event.modelRequested ? <Narrow key="model" by="model" value={event.modelRequested} /> : UNKNOWN,
          ],
          ["Streamed", event.stream ? "yes" : "no"],
          ["Client", event.clientKey ? <Named key="client" by="client" value={event.clientKey} /> : "no key"],
          ["User agent", event.userAgentFamily ?? UNKNOWN],
          ["User", event.user ? <Named key="user" by="user" value={event.user} /> : UNKNOWN],
          [
            "Session",
            event.session ? (
              <Link key="session" href={href("/sessions", {}, { open: event.session })}>
                {event.session}
              </Link>
            ) : (
              UNKNOWN
            ),
          ],
          [
            "Trace",
            event.traceId ? (
              <Trace key="trace" id={event.traceId} spanId={event.spanId ?? event.parentSpanId} />
            ) : (
              UNKNOWN
            ),
          ],
          ...Object.entries(event.tags).map(
            ([name, value]): Fact => [
              `Tag ${name}`,
              <Named key={name} by="tag" value={`${name}:${value}`} id={value} />,
            ],
          ),
          ["Size", `${bytes(event.requestBytes)} up, ${bytes(event.responseBytes)} down`],
        ]}
      />
      <Facts
        title="Answer"
        facts={[
          ["HTTP status", event.status ?? UNKNOWN],
          ["Finish reason", event.finishReason ?? UNKNOWN],
          ["Service tier", event.serviceTier ?? UNKNOWN],
          ["Upstream's id", event.responseId ? <Copyable key="response" text={event.responseId} /> : UNKNOWN],
          ["modash's id", <Copyable key="id" text={event.eventId} />],
          ["Proxy", event.replicaId],
        ]}
      />
    </>
  );
}

export type Fact = [name: string, value: ReactNode];

function Facts({ title, facts, note }: { title: string; facts: Fact[]; note?: string }) {
  return (
    <section className={styles.facts}>
      <h3>{title}</h3>
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {note ? <p className="muted">{note}</p> : null}
    </section>
  );
}

/** What few requests have. */
const some = (name: string, value: number | null): Fact[] => (value ? [[name, exact(value)]] : []);

const withUnit = (value: number | null): string => (value === null ? UNKNOWN : `${rate(value)} tok/s`);

/** A value that narrows everything to requests like this one. */
function Narrow({ by, value, text = value }: { by: FilterKey; value: string; text?: string }) {
  const [, setView] = useView();
  return (
    <button
      type="button"
      className={styles.narrow}
      title="Only requests like this"
      onClick={() => setView({ [by]: [value] })}
    >
      {text}
    </button>
  );
}

/** The same for what may have a name: that above `id`, and a pencil. */
function Named({ by, value, id = value }: { by: FilterKey; value: string; id?: string }) {
  const name = useNames().get(`${by} ${value}`);
  return (
    <Rename by={by} value={value}>
      <span>
        <Narrow by={by} value={value} text={name ?? id} />
        {name ? <span className={`mono muted ${styles.id}`}>{id}</span> : null}
      </span>
    </Rename>
  );
}

function Copyable({ text }: { text: string }) {
  return (
    <span className={styles.copyable}>
      <code className="cut" title={text}>
        {text}
      </code>
      <CopyButton text={text} />
    </span>
  );
}

function CopyButton({ text }: { text: string }) {
  if (!navigator.clipboard) return null;
  return (
    <Button quiet aria-label={`Copy ${text}`} onClick={() => void navigator.clipboard.writeText(text)}>
      Copy
    </Button>
  );
}

/** The trace of a request; `spanId` is its place there: the proxy's span, else the client's. */
function Trace({ id, spanId }: { id: string; spanId: string | null }) {
  const traceUrl = useLiveValue("traceUrl");
  const href = traceUrl?.replaceAll("{trace_id}", id).replaceAll("{span_id}", spanId ?? "");
  return (
    <span className={styles.copyable}>
      <Narrow by="trace" value={id} />
      <CopyButton text={id} />
      {href ? (
        <a href={href} target="_blank" rel="noopener noreferrer" className={styles.open}>
          Open trace
        </a>
      ) : null}
    </span>
  );
}

/** Connect, wait, stream and the rest, to the scale of the whole duration. */
export function Timeline({ event }: { event: UsageEvent }) {
  const total = event.duration ?? 0;
  if (total <= 0) return null;
  const marks = [event.connect ?? 0, event.firstToken ?? total, event.lastToken ?? total, total];
  const names = [
    ["Connect", "var(--other)"],
    [event.firstToken === null ? "Until the answer" : "Until the first token", "var(--prompt)"],
    ["Streaming", "var(--completion)"],
    ["Until the end", "var(--faint)"],
  ] as const;
  let from = 0;
  const parts = marks.flatMap((to, at) => {
    const length = Math.max(0, Math.min(to, total) - from);
    from = Math.max(from, Math.min(to, total));
    const [name, color] = names[at] ?? ["", ""];
    return length > 0 ? [{ name, color, length }] : [];
  });
  return (
    <figure className={styles.timeline}>
      <div className={styles.track} aria-hidden="true">
        {parts.map((part) => (
          <i
            key={part.name}
            style={{ flexGrow: part.length, background: part.color }}
            title={`${part.name} ${duration(part.length)}`}
          />
        ))}
      </div>
      <figcaption>
        {parts.map((part) => (
          <span key={part.name}>
            <i style={{ background: part.color }} /> {part.name} <strong>{duration(part.length)}</strong>
          </span>
        ))}
        <span>
          Total <strong>{duration(total)}</strong>
        </span>
      </figcaption>
    </figure>
  );
}
