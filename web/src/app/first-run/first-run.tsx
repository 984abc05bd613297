// What stands in place of empty charts until a request has succeeded: where modash
// listens, where it forwards to and whether that answered, and lines to copy.
import { type ReactNode, useState } from "react";
import { useLiveValue } from "../../api/live.ts";
import { settings } from "../../api/page-settings.ts";
import type { UsageEvent } from "../../api/types.ts";
import { Button } from "../../components/panel.tsx";
import { useCompleteness } from "../../features/completeness/use-completeness.ts";
import { ago } from "../../lib/format.ts";
import { outcomeWords } from "../../lib/outcome.ts";
import { useNow } from "../../lib/use-now.ts";
import { Explained, Setting } from "./explain.tsx";
import styles from "./first-run.module.css";
import { snippets } from "./snippets.ts";

const COPIED_MS = 2_000;

/** `last`: the newest request, which failed; null if there was none. */
export default function FirstRun({ last }: { last: UsageEvent | null }) {
  const proxyPort = useLiveValue("proxyPort");
  const host = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
  const base = `http://${host}:${proxyPort}`;
  return (
    <section className={styles.panel} aria-labelledby="first-run">
      <h2 id="first-run">{last ? "No request has succeeded yet" : "Waiting for the first request"}</h2>
      {last ? (
        <Explained event={last} />
      ) : (
        <p>
          Nothing has passed through the proxy yet. Use <code>{base}</code> as an application's base URL, or
          send a request by hand: it appears on this page at once.
        </p>
      )}
      <dl className={styles.facts}>
        <Fact name="Listens at">
          <code>{base}</code>
          <Proxies />
        </Fact>
        <Fact name="Forwards to">
          {settings.upstream && (last?.upstream ?? "default") === "default" ? (
            <>
              <code>{settings.upstream}</code>, set by <code>UPSTREAM_URL</code>
            </>
          ) : last ? (
            <>
              the upstream <code>{last.upstream}</code>: its address is <Setting upstream={last.upstream} />
            </>
          ) : (
            <>
              the address in <code>UPSTREAM_URL</code>, or one of <code>MODASH_PROXY_UPSTREAMS</code> by the
              first part of the path
            </>
          )}
        </Fact>
        <Fact name="Last answer">
          {last ? (
            <LastAttempt event={last} />
          ) : (
            "none yet: the proxy connects to the upstream only for a request"
          )}
        </Fact>
      </dl>
      <Snippets base={base} />
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Whether a proxy runs at all: each reports to analytics once a second. */
function Proxies() {
  const { data } = useCompleteness();
  if (!data) return null;
  const quiet = ["COMPLETENESS_STATE_SILENT", "COMPLETENESS_STATE_STOPPED"];
  const heard = data.replicas.filter(({ state }) => !quiet.includes(state));
  if (heard.length > 0) return <span className="muted"> · the proxy runs and reports to analytics</span>;
  return (
    <>
      {" · "}
      <strong>no proxy reports to analytics: start modash-proxy, or see its log</strong>
    </>
  );
}

function LastAttempt({ event }: { event: UsageEvent }) {
  const now = useNow(1_000);
  return (
    <>
      {outcomeWords(event).text}, {ago((event.startedAt ?? 0) + (event.duration ?? 0), now)}
    </>
  );
}

function Snippets({ base }: { base: string }) {
  const all = snippets(base);
  const [name, setName] = useState("curl");
  const chosen = all.find((one) => one.name === name) ?? all[0];
  if (!chosen) return null;
  return (
    <div className={styles.snippets}>
      <fieldset className={styles.names} aria-label="Client or server">
        {all.map((one) => (
          <button
            key={one.name}
            type="button"
            aria-pressed={one === chosen}
            onClick={() => setName(one.name)}
          >
            {one.name}
          </button>
        ))}
      </fieldset>
      {chosen.upstream ? <Line where="Setting of modash" code={`UPSTREAM_URL=${chosen.upstream}`} /> : null}
      <Line where={chosen.where} code={chosen.code} />
    </div>
  );
}

function Line({ where, code }: { where: string; code: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(code);
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_MS);
  };
  return (
    <figure className={styles.line}>
      <figcaption>{where}</figcaption>
      <pre>
        <code>{code}</code>
      </pre>
      {navigator.clipboard ? (
        <Button onClick={() => void copy()} aria-label={`Copy: ${where}`}>
          <span aria-live="polite">{copied ? "Copied" : "Copy"}</span>
        </Button>
      ) : null}
    </figure>
  );
}
