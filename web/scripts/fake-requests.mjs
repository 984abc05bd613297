// Made-up requests of a day: several models and clients, some errors, some
// answers without usage. The same ones at each start, but for their ids.
import { randomBytes } from "node:crypto";

let seed = 7;
export const random = () => {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return seed / 2_147_483_648;
};
const between = (low, high) => low + random() * (high - low);
const pick = (items) => items[Math.floor(random() * items.length)];

const MODELS = [
  {
    name: "qwen3-coder-30b-a3b",
    weight: 34,
    prompt: 9_000,
    completion: 520,
    decode: 71,
    prefill: 2_400,
    upstream: "default",
    dialect: "openai-chat",
  },
  {
    name: "claude-sonnet-4-5",
    weight: 22,
    prompt: 24_000,
    completion: 900,
    decode: 58,
    prefill: 9_000,
    upstream: "claude",
    dialect: "anthropic-messages",
    cached: 0.82,
  },
  {
    name: "gpt-oss-120b",
    weight: 15,
    prompt: 3_100,
    completion: 760,
    decode: 44,
    prefill: 1_500,
    upstream: "default",
    dialect: "openai-chat",
  },
  {
    name: "gemma-3-27b-it",
    weight: 9,
    prompt: 1_400,
    completion: 310,
    decode: 33,
    prefill: 1_100,
    upstream: "default",
    dialect: "openai-chat",
  },
  {
    name: "gpt-5-mini",
    weight: 8,
    prompt: 5_200,
    completion: 640,
    decode: 96,
    prefill: 7_000,
    upstream: "openai",
    dialect: "openai-chat",
    cached: 0.4,
  },
  {
    name: "llama-3.3-70b-instruct-q4_k_m",
    weight: 5,
    prompt: 1_900,
    completion: 420,
    decode: 17,
    prefill: 420,
    upstream: "default",
    dialect: "openai-chat",
    unreported: true,
  },
  {
    name: "mistral-small-3.2",
    weight: 4,
    prompt: 800,
    completion: 220,
    decode: 52,
    prefill: 1_900,
    upstream: "default",
    dialect: "openai-chat",
  },
  {
    name: "text-embedding-3-large",
    weight: 6,
    prompt: 700,
    completion: 0,
    upstream: "openai",
    dialect: "openai-embeddings",
  },
  {
    name: "claude-haiku-4-5",
    weight: 3,
    prompt: 2_600,
    completion: 300,
    decode: 120,
    prefill: 12_000,
    upstream: "claude",
    dialect: "anthropic-messages",
    cached: 0.5,
  },
];
const WEIGHT = MODELS.reduce((sum, model) => sum + model.weight, 0);
const CLIENTS = ["9f2c41aa07be6d13", "41d0b7e2c95a8f66", "c7a88e1b2d3f4a50", "0be57712fa9c3e84", null];

function pickModel() {
  let at = random() * WEIGHT;
  for (const model of MODELS) {
    at -= model.weight;
    if (at <= 0) return model;
  }
  return MODELS[0];
}

/** Dollars per million tokens: prompt, cached prompt, completion. The local models have none. */
const PRICES = {
  "claude-sonnet-4-5": [3, 0.3, 15],
  "claude-haiku-4-5": [1, 0.1, 5],
  "gpt-5-mini": [0.25, 0.025, 2],
  "text-embedding-3-large": [0.13, 0.13, 0],
};

/** What it cost, as analytics works it out. */
export function costOf({ model, upstream, promptTokens, cachedPromptTokens, completionTokens, usageSource }) {
  const provider = { claude: "anthropic", openai: "openai" }[upstream] ?? null;
  const prices = PRICES[model];
  const unknown = {
    source: "COST_SOURCE_UNKNOWN",
    nanoUsd: null,
    cacheSavingNanoUsd: null,
    provider,
    priceVersion: null,
  };
  if (!prices || usageSource === "USAGE_SOURCE_NOT_REPORTED") return unknown;
  const [prompt, cached, completion] = prices.map((price) => price * 1e3);
  const read = cachedPromptTokens ?? 0;
  return {
    source: usageSource === "USAGE_SOURCE_UPSTREAM" ? "COST_SOURCE_TABLE" : "COST_SOURCE_ESTIMATED",
    nanoUsd: Math.round(
      ((promptTokens ?? 0) - read) * prompt + read * cached + (completionTokens ?? 0) * completion,
    ),
    cacheSavingNanoUsd: read > 0 ? Math.round(read * (prompt - cached)) : null,
    provider,
    priceVersion: "2026-11-29.3",
  };
}

/** UUIDv7: the time in front, as the proxy makes them. */
export function uuid(at) {
  const time = Math.floor(at).toString(16).padStart(12, "0");
  const rest = randomBytes(10).toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(0, 3)}-8${rest.slice(3, 6)}-${rest.slice(6, 18).padEnd(12, "0")}`;
}

/** The plan of one request; `event` is its end. */
export function plan(startedAt) {
  const model = pickModel();
  const chat = model.completion > 0;
  const stream = chat && random() < 0.86;
  const spread = Math.exp(between(-1.1, 1.1));
  const prompt = Math.round(model.prompt * spread);
  const cached = model.cached
    ? Math.round(prompt * model.cached * between(0.6, 1))
    : random() < 0.3
      ? Math.round(prompt * 0.4)
      : 0;
  const completion = chat ? Math.max(2, Math.round(model.completion * Math.exp(between(-1.6, 1.2)))) : 0;
  const decode = chat ? model.decode * between(0.75, 1.12) : null;
  const firstToken = chat
    ? 120 +
      ((prompt - cached) / model.prefill) * 1e3 * between(0.8, 1.4) +
      (random() < 0.06 ? between(800, 6_000) : 0)
    : between(40, 180);
  const luck = random();
  const outcome =
    luck > 0.032
      ? "OUTCOME_OK"
      : luck > 0.02
        ? "OUTCOME_HTTP_ERROR"
        : luck > 0.011
          ? "OUTCOME_CLIENT_CLOSED"
          : luck > 0.007
            ? "OUTCOME_TRUNCATED"
            : luck > 0.003
              ? "OUTCOME_UPSTREAM_TIMEOUT"
              : "OUTCOME_STREAM_ERROR";
  const refused = outcome === "OUTCOME_HTTP_ERROR" || outcome === "OUTCOME_UPSTREAM_TIMEOUT";
  const part = refused ? 0 : outcome === "OUTCOME_OK" ? 1 : between(0.1, 0.8);
  const decoding = chat && !refused ? (completion * part * 1e3) / decode : 0;
  const duration = outcome === "OUTCOME_HTTP_ERROR" ? between(30, 240) : firstToken + decoding;
  const unreported = (model.unreported && stream) || refused;
  const measured = stream && !refused && completion * part >= 2;
  const source =
    refused || (!chat && outcome !== "OUTCOME_OK")
      ? "USAGE_SOURCE_NOT_REPORTED"
      : unreported
        ? random() < 0.7
          ? "USAGE_SOURCE_ESTIMATED"
          : "USAGE_SOURCE_NOT_REPORTED"
        : part < 1
          ? "USAGE_SOURCE_UPSTREAM_PARTIAL"
          : "USAGE_SOURCE_UPSTREAM";
  const counted = source !== "USAGE_SOURCE_NOT_REPORTED";
  const promptTokens = counted && source !== "USAGE_SOURCE_ESTIMATED" ? prompt : null;
  const completionTokens = counted ? Math.round(completion * part) : null;
  const status =
    outcome === "OUTCOME_HTTP_ERROR"
      ? pick([429, 429, 400, 500, 503])
      : outcome === "OUTCOME_UPSTREAM_TIMEOUT"
        ? 504
        : 200;
  const path =
    model.dialect === "anthropic-messages"
      ? "/claude/v1/messages"
      : chat
        ? model.upstream === "openai"
          ? "/openai/v1/chat/completions"
          : "/v1/chat/completions"
        : "/openai/v1/embeddings";
  const event = {
    eventId: uuid(startedAt),
    replicaId: "proxy-1",
    startedAt,
    upstream: model.upstream,
    dialect: model.dialect,
    operation: chat ? "OPERATION_CHAT" : "OPERATION_EMBEDDING",
    method: "POST",
    path,
    modelRequested: model.name,
    stream,
    userAgentFamily: model.dialect === "anthropic-messages" ? "claude-cli" : "openai-python",
    clientKey: pick(CLIENTS),
    user: null,
    session: null,
    tags: {},
    status,
    model: model.name,
    responseId: refused ? null : `chatcmpl-${randomBytes(9).toString("base64url")}`,
    finishReason:
      outcome === "OUTCOME_OK" ? (model.dialect === "anthropic-messages" ? "end_turn" : "stop") : null,
    serviceTier: null,
    outcome,
    errorType: status === 429 ? "rate_limit_error" : refused ? `http_${status}` : null,
    usageSource: source,
    promptTokens,
    cachedPromptTokens: promptTokens === null ? null : cached,
    cacheWriteTokens: null,
    completionTokens,
    reasoningTokens: null,
    audioPromptTokens: null,
    audioCompletionTokens: null,
    cachedAudioPromptTokens: null,
    imagePromptTokens: null,
    cachedImagePromptTokens: null,
    imageCompletionTokens: null,
    images: null,
    characters: null,
    totalTokens: promptTokens === null ? null : promptTokens + (completionTokens ?? 0),
    billedPromptTokens: null,
    billedCompletionTokens: null,
    searchUnits: null,
    billedAudio: null,
    upstreamCostUsd: null,
    connect: random() < 0.2 ? between(0.2, 24) : null,
    upstreamHead: stream ? firstToken * 0.8 : duration * 0.96,
    firstToken: measured ? firstToken : null,
    lastToken: measured ? duration - 2 : null,
    duration,
    contentEvents: stream ? Math.round(completion * part) : 0,
    tokenGaps: null,
    prefillTokensPerSecond: measured && promptTokens !== null ? ((prompt - cached) * 1e3) / firstToken : null,
    decodeTokensPerSecond: measured && completionTokens !== null ? decode : null,
    speedSource: measured ? "SPEED_SOURCE_MEASURED" : "SPEED_SOURCE_UNSPECIFIED",
    requestBytes: prompt * 4,
    responseBytes: Math.round(completion * part * (stream ? 190 : 5)) + 600,
  };
  return { ...event, cost: costOf(event) };
}

/** Busy by day, quiet by night, never even. */
export function intensity(at) {
  const hour = (at / 3_600_000) % 24;
  const day = 0.25 + 0.75 * Math.max(0, Math.sin(((hour - 5) / 16) * Math.PI));
  return day * (0.7 + 0.5 * Math.abs(Math.sin(at / 4_700_000)) + 0.3 * Math.sin(at / 1_300_000));
}
