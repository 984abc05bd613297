// All questions by a client of Connect, in node and in a browser.

import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "./procedures.mjs";

const REQUESTS = {
  usageSummary: { timeZone: "Europe/Vienna" },
  usageTimeseries: { top: 5 },
  throughputTimeseries: {},
  modelBreakdown: { limit: 10 },
  recentRequests: { page: 1, pageSize: 25 },
  errorBreakdown: { limit: 10 },
  listMarks: {},
};

const FAILURES = { failing: Code.Internal, away: Code.Unavailable, refused: Code.Unauthenticated };

export async function check(client, mode, streams) {
  for (const [name, request] of Object.entries(REQUESTS)) {
    const answer = await outcome(client[name](request));
    if (mode === "working") {
      expect(!(answer instanceof ConnectError), `${name} succeeds`, String(answer));
      if (name === "usageSummary") {
        expect(typeof answer.requests === "bigint", "counts are 64-bit", typeof answer.requests);
      }
    } else {
      const code = FAILURES[mode];
      expect(answer.code === code, `${name} fails with ${Code[code]}`, String(answer));
      expect(answer.rawMessage.length > 0, "the failure has a message", answer.rawMessage);
    }
  }
  if (mode === "working") {
    const refused = await outcome(client.recentRequests({ page: 0, pageSize: 25 }));
    expect(refused.code === Code.InvalidArgument, "page 0 is refused", String(refused));
    expect(/\bpage\b/.test(refused.rawMessage), "the refusal names the field", refused.rawMessage);
    const details = refused.details.map(({ type }) => type).join(" ");
    const expected = "google.rpc.BadRequest google.rpc.ErrorInfo";
    expect(details === expected, "the refusal has its fields and its reason", refused.details);
  }
  if (streams && mode === "refused") {
    const refused = await outcome(subscribe(client));
    expect(refused?.code === Code.Unauthenticated, "Subscribe is refused", String(refused));
  } else if (streams && mode !== "away") {
    await subscribe(client);
  }
}

/** The first event comes within 5 s, and leaving ends the stream. */
async function subscribe(client) {
  const leave = new AbortController();
  const late = setTimeout(() => leave.abort(new Error("no event within 5 s")), 5_000);
  let first;
  try {
    for await (const event of client.subscribe({}, { signal: leave.signal })) {
      first = event.message.case;
      break;
    }
  } finally {
    clearTimeout(late);
    leave.abort();
  }
  expect(first === "connected", "the first event is connected", first);
}

/** Adds the token to each call. */
export const showing = (token) => (next) => (request) => {
  if (token) request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};

const outcome = (call) => call.catch((error) => ConnectError.from(error));
