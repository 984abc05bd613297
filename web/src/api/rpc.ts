// The only place that calls fetch: one procedure is one POST of an Effect RPC
// frame, and one Exit frame comes back.
import { signInAgain } from "./session.ts";
import type { Answer, Payload, Procedure } from "./types.ts";

/** `database`: usage data is unavailable. `refused`: the call itself is wrong. `transport`: no usable answer. */
export type RpcFailure = "database" | "refused" | "transport";

/** Why a call gave no value, with words for a person. */
export class RpcError extends Error {
  readonly kind: RpcFailure;
  constructor(kind: RpcFailure, message: string) {
    super(message);
    this.name = "RpcError";
    this.kind = kind;
  }
}

interface Frame {
  _tag?: string;
  requestId?: string;
  exit?: { _tag: string; value?: unknown; cause?: Cause };
  defect?: unknown;
}
interface Cause {
  _tag: string;
  error?: { _tag?: string; message?: string };
  defect?: unknown;
}

let nextId = 0;

/** Asks the gateway; whoever is not signed in any more is led to where one signs in. */
export async function send(path: string, init?: RequestInit): Promise<Response> {
  const response = await fetch(path, init);
  if (response.status === 401) signInAgain();
  return response;
}

/** Calls a procedure. Throws RpcError, or the signal's reason when it is aborted. */
export async function rpc<P extends Procedure>(
  tag: P,
  payload: Payload<P>,
  signal?: AbortSignal,
): Promise<Answer<P>> {
  const id = String(nextId++);
  const body = JSON.stringify({ _tag: "Request", id, tag, payload, headers: [] });
  let frames: unknown;
  let status = 200;
  try {
    const response = await send("/rpc", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      signal: signal ?? null,
    });
    status = response.status;
    frames = await response.json();
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (!(error instanceof SyntaxError)) throw new RpcError("transport", "The gateway is not reachable.");
  }
  if (!Array.isArray(frames)) {
    const what = status === 200 ? "an answer that cannot be read" : `HTTP ${status}`;
    throw new RpcError("transport", `The gateway answered with ${what}.`);
  }
  return value(frames as Frame[], id) as Answer<P>;
}

/** The value of the call's Exit frame; a Defect ends every call. */
function value(frames: Frame[], id: string): unknown {
  for (const frame of frames) {
    if (frame._tag === "Defect") throw new RpcError("refused", text(frame.defect));
    if (frame._tag !== "Exit" || frame.requestId !== id || !frame.exit) continue;
    if (frame.exit._tag === "Success") return frame.exit.value;
    const cause = frame.exit.cause;
    if (cause?._tag === "Fail")
      throw new RpcError("database", cause.error?.message ?? "Usage data is unavailable.");
    if (cause?._tag === "Die") throw new RpcError("refused", text(cause.defect));
    throw new RpcError("transport", "The gateway broke the call off.");
  }
  throw new RpcError("transport", "The gateway did not answer this call.");
}

function text(defect: unknown): string {
  if (typeof defect === "string") return defect;
  const message = (defect as { message?: unknown } | null)?.message;
  return typeof message === "string" ? message : "The gateway failed.";
}
