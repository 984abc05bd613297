// What a fresh installation shows in place of an empty chart: the line that
// sends a first request.
import { useState } from "react";
import { useLive } from "../api/live.ts";
import { Button } from "../components/panel.tsx";
import styles from "./first-request.module.css";

export default function FirstRequest() {
  const { proxyPort } = useLive();
  const [copied, setCopied] = useState(false);
  const host = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
  const base = `http://${host}:${proxyPort}`;
  const line = `curl ${base}/v1/chat/completions -H 'content-type: application/json' -d '{"model":"your-model","messages":[{"role":"user","content":"Hello"}]}'`;
  const copy = async () => {
    await navigator.clipboard.writeText(line);
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  };
  return (
    <section className={styles.panel} aria-labelledby="first-request">
      <h2 id="first-request">Waiting for the first request</h2>
      <p>
        Nothing has passed through the proxy yet. Point an application's base URL at <code>{base}</code>, or
        send a request by hand. It appears on this page at once.
      </p>
      <div className={styles.line}>
        <code>{line}</code>
        {navigator.clipboard ? (
          <Button onClick={() => void copy()} aria-live="polite">
            {copied ? "Copied" : "Copy"}
          </Button>
        ) : null}
      </div>
    </section>
  );
}
