// Outcomes and sources of usage in words.
import type { UsageEvent, UsageSource } from "../api/types.ts";

/** Tone and word of how a request ended. */
export function outcomeWords(event: Pick<UsageEvent, "outcome" | "status">): {
  tone: "ok" | "error" | "cancelled";
  text: string;
} {
  switch (event.outcome) {
    case "OUTCOME_OK":
      return { tone: "ok", text: "ok" };
    case "OUTCOME_CLIENT_CLOSED":
      return { tone: "cancelled", text: "cancelled" };
    case "OUTCOME_HTTP_ERROR":
      return { tone: "error", text: event.status ? `HTTP ${event.status}` : "HTTP error" };
    case "OUTCOME_STREAM_ERROR":
      return { tone: "error", text: "error in stream" };
    case "OUTCOME_EMPTY":
      return { tone: "error", text: "empty answer" };
    case "OUTCOME_TRUNCATED":
      return { tone: "error", text: "broken off" };
    case "OUTCOME_UPSTREAM_UNREACHABLE":
      return { tone: "error", text: "unreachable" };
    case "OUTCOME_UPSTREAM_TIMEOUT":
      return { tone: "error", text: "timed out" };
    case "OUTCOME_INTERRUPTED":
      return { tone: "error", text: "interrupted" };
    default:
      return { tone: "cancelled", text: "unknown" };
  }
}

/** Where a request's token counts come from: the word, and what it means. */
export const USAGE_SOURCES: Record<UsageSource, { text: string; meaning: string }> = {
  USAGE_SOURCE_UNSPECIFIED: { text: "–", meaning: "Not known" },
  USAGE_SOURCE_UPSTREAM: { text: "reported", meaning: "Reported by the upstream, in full" },
  USAGE_SOURCE_UPSTREAM_PARTIAL: {
    text: "partial",
    meaning: "Reported by the upstream, but the answer broke off: a lower bound",
  },
  USAGE_SOURCE_ESTIMATED: {
    text: "estimated",
    meaning: "Counted by modash on the stream; the prompt is unknown",
  },
  USAGE_SOURCE_NOT_REPORTED: {
    text: "not reported",
    meaning: "The answer carried no usage. MODASH_PROXY_STREAM_USAGE=inject asks for it on streams",
  },
  USAGE_SOURCE_NOT_DUE: {
    text: "not due",
    meaning: "The request consumed nothing, or its counts come with another one",
  },
  USAGE_SOURCE_UNPARSEABLE: { text: "unreadable", meaning: "The answer could not be read" },
};
