// How the page asks and listens: /rpc and /events, or gRPC-Web through the gateway or
// straight to analytics. Chosen by `via` in the address, else by the gateway's setting;
// above this file both are the same.
import { type Listener, openEvents } from "./events.ts";
import { type PageSettings, settings } from "./page-settings.ts";
import { rpc } from "./rpc.ts";
import type { Answer, Payload, Procedure } from "./types.ts";

/** The key of the address. */
export const TRANSPORT_KEY = "via";

export type TransportName = "rpc" | "grpc-web" | "analytics";

/** Where gRPC-Web goes; null: it is not used. */
export function target(search: string, settings: PageSettings): { name: TransportName; url: string | null } {
  const asked = new URLSearchParams(search).get(TRANSPORT_KEY) ?? settings.transport;
  if (asked === "grpc-web") return { name: "grpc-web", url: location.origin };
  if (asked === "analytics" && settings.analyticsUrl)
    return { name: "analytics", url: settings.analyticsUrl };
  return { name: "rpc", url: null };
}

/** Chosen once: another choice loads the page anew. */
export const chosen = target(location.search, settings);

const grpcWeb = () => import("./grpc-web.ts");

/** Calls a procedure. Throws RpcError, or the signal's reason when it is aborted. */
export async function call<P extends Procedure>(
  tag: P,
  payload: Payload<P>,
  signal?: AbortSignal,
): Promise<Answer<P>> {
  if (chosen.url === null) return rpc(tag, payload, signal);
  return (await grpcWeb()).call(chosen.url, tag, payload, signal);
}

/** Opens the event stream and keeps it open until the returned function is called. */
export function open(listener: Listener): () => void {
  const { url } = chosen;
  if (url === null) return openEvents(listener);
  let closed = false;
  let close = () => {};
  void grpcWeb().then(({ openSubscription }) => {
    if (!closed) close = openSubscription(url, listener);
  });
  return () => {
    closed = true;
    close();
  };
}
