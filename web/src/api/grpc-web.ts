// The second transport: queries and Subscribe by gRPC-Web, through the gateway or
// straight to analytics. Its library is large, so that it is loaded only where it is
// chosen.

import { create, type DescMethodUnary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import {
  AnalyticsService,
  SubscribeRequestSchema,
  type SubscribeResponse,
} from "../gen/modash/v1/analytics_service_pb.ts";
import {
  LiveRequestSchema,
  Outcome,
  RequestPhase,
  type LiveRequest as Running,
} from "../gen/modash/v1/usage_event_pb.ts";
import { serverNow } from "../lib/clock.ts";
import type { EventData, EventName, Listener } from "./events.ts";
import { fromMessage, toMessage } from "./message.ts";
import { settings } from "./page-settings.ts";
import { pauses } from "./pauses.ts";
import { RpcError } from "./rpc.ts";
import { signInAgain } from "./session.ts";
import type { Answer, LiveRequest, Payload, Procedure, RequestState } from "./types.ts";

/** Analytics says something every 15 s; after this silence it is gone. */
const SILENCE_MS = 45_000;

/** Codes of calls that are wrong themselves, as the gateway sorts them for /rpc. */
const REFUSED = new Set([
  Code.InvalidArgument,
  Code.OutOfRange,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.Unimplemented,
]);

const transports = new Map<string, Transport>();

function transportTo(baseUrl: string): Transport {
  const known = transports.get(baseUrl) ?? createGrpcWebTransport({ baseUrl });
  transports.set(baseUrl, known);
  return known;
}

/** As `rpc`, of the server at a URL. */
export async function call<P extends Procedure>(
  baseUrl: string,
  tag: P,
  payload: Payload<P>,
  signal?: AbortSignal,
): Promise<Answer<P>> {
  const method = AnalyticsService.methods.find(({ name }) => name === tag);
  if (method?.methodKind !== "unary") throw new RpcError("refused", `There is no call ${tag}.`);
  const message = toMessage(method.input, payload);
  try {
    const unary = method as DescMethodUnary;
    const answer = await transportTo(baseUrl).unary(unary, signal, undefined, undefined, message);
    return fromMessage(method.output, answer.message) as Answer<P>;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    signInIfAsked(baseUrl, error);
    throw failure(error);
  }
}

/** Sessions are the gateway's; analytics itself knows none. */
function signInIfAsked(baseUrl: string, error: unknown): void {
  const asked = ConnectError.from(error).code === Code.Unauthenticated;
  if (asked && baseUrl === location.origin) signInAgain();
}

function failure(error: unknown): RpcError {
  const { code, rawMessage } = ConnectError.from(error);
  if (!wasAnswered(error)) return new RpcError("transport", "The server is not reachable.");
  if (REFUSED.has(code)) return new RpcError("refused", rawMessage);
  if (code === Code.Canceled) return new RpcError("transport", "The server broke the call off.");
  return new RpcError("database", rawMessage || "Usage data is unavailable.");
}

/** Whether a server said so, and not the browser: fetch fails with a TypeError. */
const wasAnswered = (error: unknown): boolean =>
  !(ConnectError.from(error).cause instanceof TypeError) && !(error instanceof TypeError);

/** As `openEvents`, by Subscribe. */
export function openSubscription(baseUrl: string, listener: Listener): () => void {
  const stop = new AbortController();
  void follow(baseUrl, listener, stop.signal);
  return () => stop.abort();
}

async function follow(baseUrl: string, listener: Listener, stop: AbortSignal): Promise<void> {
  const pause = pauses();
  while (!stop.aborted) {
    const silence = new AbortController();
    const late = () => setTimeout(() => silence.abort(new TypeError("silence")), SILENCE_MS);
    let timer = late();
    try {
      const signal = AbortSignal.any([stop, silence.signal]);
      const request = create(SubscribeRequestSchema);
      const answer = await transportTo(baseUrl).stream(
        AnalyticsService.method.subscribe,
        signal,
        undefined,
        undefined,
        (async function* () {
          yield request;
        })(),
      );
      const viewer = answer.header.get("modash-viewer") ?? undefined;
      for await (const message of answer.message) {
        clearTimeout(timer);
        timer = late();
        pause.reset();
        tell(message, listener, viewer);
      }
      listener.connection("lost");
    } catch (error) {
      if (stop.aborted) break;
      signInIfAsked(baseUrl, error);
      lost(error, listener);
    } finally {
      clearTimeout(timer);
    }
    await pause.next(stop);
  }
}

/** A server that answers but knows nothing has lost analytics; one that does not answer is lost. */
function lost(error: unknown, listener: Listener): void {
  const answered = wasAnswered(error);
  listener.connection(answered ? "open" : "lost");
  if (answered) listener.event("request-state-updated", { now: serverNow(), live: false });
}

function tell({ message }: SubscribeResponse, listener: Listener, viewer?: string): void {
  const heard = heardAs(message);
  if (!heard) return;
  const [name, data] = heard;
  listener.connection("open");
  listener.event(name, name === "connected" && viewer ? { ...data, viewer } : data);
}

/** The event of /events that says the same. `missed` is followed by `connected`. */
function heardAs(message: SubscribeResponse["message"]): [EventName, EventData] | undefined {
  switch (message.case) {
    case "connected": {
      const { now, requests, truncated } = message.value;
      // The gateway says the same in the page.
      const { traceUrl } = settings;
      const said = traceUrl ? { traceUrl } : {};
      return ["connected", { now: at(now), live: true, requests: requests.map(shown), truncated, ...said }];
    }
    case "usageUpdated":
      return ["usage-updated", { now: at(message.value.now), requests: Number(message.value.requests) }];
    case "requestStateUpdated": {
      const { now, requests, truncated } = message.value;
      return ["request-state-updated", { now: at(now), requests: requests.map(shown), truncated }];
    }
    default:
      return undefined;
  }
}

const at = (time: Parameters<typeof timestampMs>[0] | undefined): number =>
  time ? timestampMs(time) : serverNow();

/** A running request as /events shows it. */
function shown(request: Running): LiveRequest {
  const fields = fromMessage(LiveRequestSchema, request) as object;
  return {
    id: request.eventId,
    state: stateOf(request),
    completionTokens: Number(request.contentEvents),
    ...fields,
  } as LiveRequest;
}

function stateOf({ phase, outcome }: Running): RequestState {
  if (phase === RequestPhase.STREAMING) return "streaming";
  if (phase !== RequestPhase.ENDED) return "queued";
  if (outcome === Outcome.OK) return "completed";
  return outcome === Outcome.CLIENT_CLOSED ? "cancelled" : "failed";
}
