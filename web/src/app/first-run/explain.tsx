// Why a request failed, and the setting that mends it.
import type { UsageEvent } from "../../api/types.ts";

/** For the first requests, of which none has succeeded. */
export function Explained({ event }: { event: UsageEvent }) {
  return <p>{explain(event)}</p>;
}

/** Where the address of an upstream is set. */
export function Setting({ upstream }: { upstream: string }) {
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
  if (outcome === "OUTCOME_CLIENT_CLOSED") {
    return (
      <>
        The application disconnected before the upstream {server} had answered in full. Check that server (
        {setting}) and the application's own timeout.
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
