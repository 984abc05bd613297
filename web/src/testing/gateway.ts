// A gateway at the network's edge: tests say what each procedure answers, and
// read what was asked. Everything above fetch is the real thing.
import { vi } from "vitest";
import type { Answer, Payload, Procedure } from "../api/types.ts";

type Handlers = { [P in Procedure]?: (payload: Payload<P>) => Answer<P> | Promise<Answer<P>> };

/** Thrown by a handler, it becomes a typed DatabaseError. */
export class DatabaseDown extends Error {}

export interface FakeGateway {
  asked: { tag: Procedure; payload: Record<string, unknown> }[];
  handlers: Handlers;
  /** What `/session` answers. */
  session: { open: true } | { name: string; sees: string; writes: boolean };
}

export function fakeGateway(handlers: Handlers): FakeGateway {
  // Every chart asks for marks, and every page for names.
  const all: Handlers = { ListMarks: () => ({ marks: [] }), ListNames: () => ({ names: [] }), ...handlers };
  const gateway: FakeGateway = { asked: [], handlers: all, session: { open: true } };
  vi.stubGlobal("fetch", async (path: string, request: RequestInit) => {
    if (path === "/session") return new Response(JSON.stringify(gateway.session));
    const frame = JSON.parse(String(request.body));
    gateway.asked.push({ tag: frame.tag, payload: frame.payload });
    const handler = gateway.handlers[frame.tag as Procedure] as ((payload: unknown) => unknown) | undefined;
    const exit = async () => {
      try {
        if (!handler) throw new Error(`no handler for ${frame.tag}`);
        return { _tag: "Success", value: await handler(frame.payload) };
      } catch (error) {
        const { message } = error as Error;
        const cause =
          error instanceof DatabaseDown
            ? { _tag: "Fail", error: { _tag: "DatabaseError", message } }
            : { _tag: "Die", defect: message };
        return { _tag: "Failure", cause };
      }
    };
    return new Response(JSON.stringify([{ _tag: "Exit", requestId: frame.id, exit: await exit() }]));
  });
  return gateway;
}

/** An EventSource that a test holds by its other end. */
export class FakeEventSource extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 2;
  static all: FakeEventSource[] = [];
  readyState = FakeEventSource.CONNECTING;
  onerror: (() => void) | null = null;
  readonly url: string;

  constructor(url: string) {
    super();
    this.url = url;
    FakeEventSource.all.push(this);
  }
  send(name: string, data: object, lastEventId = ""): void {
    this.readyState = FakeEventSource.OPEN;
    this.dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data), lastEventId }));
  }
  /** As a browser does on any answer but 200 (`forGood`), or when the line breaks. */
  fail(forGood: boolean): void {
    this.readyState = forGood ? FakeEventSource.CLOSED : FakeEventSource.CONNECTING;
    this.onerror?.();
  }
  close(): void {
    this.readyState = FakeEventSource.CLOSED;
  }
}

export function fakeEvents(): typeof FakeEventSource {
  FakeEventSource.all = [];
  vi.stubGlobal("EventSource", FakeEventSource);
  return FakeEventSource;
}
