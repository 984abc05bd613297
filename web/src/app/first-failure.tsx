// While no request has succeeded yet: why the last one failed, and the setting
// that mends it. It leaves with the first success.
import type { UsageEvent } from "../api/types.ts";
import { useRecentRequests } from "../features/recent-requests/use-recent-requests.ts";
import styles from "./first-request.module.css";

export default function FirstFailure() {
  const last = useRecentRequests(1, 10).data?.rows[0];
  if (!last) return null;
  return (
    <section className={`${styles.panel} ${styles.low}`} aria-labelledby="first-failure">
      <h2 id="first-failure">No request has succeeded yet</h2>
      <p>{explain(last)}</p>
    </section>
  );
}

/** Where the address of an upstream is set. */
function Setting({ upstream }: { upstream: string }) {
  return upstream === "default" ? (
    <code>UPSTREAM_URL</code>
  ) : (
    <>
      <code>{upstream}</code> in <code>MODASH_PROXY_UPSTREAMS</code>
    </>
  );
}

function explain({ outcome, status, upstream, path, modelRequested, errorType }: UsageEvent) {
  const server = <code>{upstream}</code>;
  const setting = <Setting upstream={upstream} />;
  if (outcome === "OUTCOME_UPSTREAM_UNREACHABLE") {
    return (
      <>
        The proxy could not connect to the upstream {server}. Start that server, or set its address in{" "}
        {setting} and restart modash.
      </>
    );
  }
  if (outcome === "OUTCOME_UPSTREAM_TIMEOUT") {
    return (
      <>
        The proxy timed out waiting for the upstream {server}. Check that it is the server that you mean (
        {setting}), and the limit <code>MODASH_PROXY_UPSTREAM_HEAD_TIMEOUT_SECONDS</code>.
      </>
    );
  }
  const code = status ? `HTTP ${status}` : "an error";
  if (status === 401 || status === 403) {
    return (
      <>
        The upstream {server} refused the key with {code}. modash passes on the application's key as it is:
        check the key, and that {setting} names the server that it belongs to.
      </>
    );
  }
  if (status === 404) {
    return (
      <>
        The upstream {server} answered {code} to <code>{path}</code>
        {modelRequested ? (
          <>
            {" "}
            for the model <code>{modelRequested}</code>
          </>
        ) : null}
        . Check the model's name, and the base path of the address in {setting}.
      </>
    );
  }
  return (
    <>
      The upstream {server} answered with {code}
      {errorType ? (
        <>
          {" "}
          (<code>{errorType}</code>)
        </>
      ) : null}
      . Its address is set in {setting}.
    </>
  );
}
