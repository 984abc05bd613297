// A gateway with made-up, moving data, for work on the dashboard without a
// backend: answers /rpc, /events and serves dist with the real security headers.
//   node scripts/fake-gateway.mjs [--port 24005] [--empty] [--quiet]
// POST /fake/<mode> switches it while it runs: ok, failing (database errors),
// down (500 on everything), empty. POST /v1/chat/completions is one request.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const argument = (name) => process.argv[process.argv.indexOf(name) + 1];
const port = process.argv.includes("--port") ? Number(argument("--port")) : 24_005;
const quiet = process.argv.includes("--quiet");
let mode = process.argv.includes("--empty") ? "empty" : "ok";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const DAY = 86_400_000;

// ---- made-up requests ----

let seed = 7;
const random = () => {
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

/** UUIDv7: the time in front, as the proxy makes them. */
function uuid(at) {
  const time = Math.floor(at).toString(16).padStart(12, "0");
  const rest = randomBytes(10).toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(0, 3)}-8${rest.slice(3, 6)}-${rest.slice(6, 18).padEnd(12, "0")}`;
}

/** The plan of one request; `event` is its end. */
function plan(startedAt) {
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
  return {
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
}

/** Busy by day, quiet by night, never even. */
function intensity(at) {
  const hour = (at / 3_600_000) % 24;
  const day = 0.25 + 0.75 * Math.max(0, Math.sin(((hour - 5) / 16) * Math.PI));
  return day * (0.7 + 0.5 * Math.abs(Math.sin(at / 4_700_000)) + 0.3 * Math.sin(at / 1_300_000));
}

const events = [];
const began = Date.now();
for (let at = began - 2 * DAY; at < began - 20_000; ) {
  at += (-Math.log(1 - random()) * 7_000) / Math.max(intensity(at), 0.06);
  if (at < began - 20_000) events.push(plan(at));
}

// ---- what runs now ----

const running = new Map();
const streams = new Set();
let sequence = 1;

const liveView = (request, now) => {
  const { event } = request;
  const elapsed = now - event.startedAt;
  const first = event.firstToken ?? event.duration;
  const over = elapsed >= event.duration;
  const streaming = event.firstToken !== null && elapsed >= first;
  const share = streaming ? Math.min(1, (elapsed - first) / Math.max(1, event.duration - first)) : 0;
  const state = over
    ? event.outcome === "OUTCOME_OK"
      ? "completed"
      : event.outcome === "OUTCOME_CLIENT_CLOSED"
        ? "cancelled"
        : "failed"
    : streaming
      ? "streaming"
      : "queued";
  return {
    id: event.eventId,
    state,
    model: elapsed < 60 ? null : event.model,
    startedAt: event.startedAt,
    firstTokenAt: streaming ? event.startedAt + first : null,
    completionTokens: over ? event.completionTokens : null,
    phase: over
      ? "REQUEST_PHASE_ENDED"
      : streaming
        ? "REQUEST_PHASE_STREAMING"
        : elapsed < 30
          ? "REQUEST_PHASE_CONNECTING"
          : "REQUEST_PHASE_WAITING",
    upstream: event.upstream,
    dialect: event.dialect,
    stream: event.stream,
    clientKey: event.clientKey,
    path: event.path,
    contentEvents: Math.round(event.contentEvents * share),
    responseBytes: Math.round(event.responseBytes * share),
  };
};

function send(name, data) {
  const text = `id: fake-${sequence}\nevent: ${name}\ndata: ${JSON.stringify({ seq: sequence++, now: Date.now(), ...data })}\n\n`;
  for (const stream of streams) stream.write(text);
}

function start(at = Date.now()) {
  const event = plan(at);
  running.set(event.eventId, { event });
  return event;
}

setInterval(() => {
  if (mode === "empty" || mode === "down") return;
  const now = Date.now();
  if (!quiet && running.size < 11 && random() < 0.05) start(now);
  const requests = [];
  let finished = 0;
  for (const [id, request] of running) {
    const view = liveView(request, now);
    requests.push(view);
    if (now - request.event.startedAt < request.event.duration) continue;
    running.delete(id);
    events.push(request.event);
    finished++;
  }
  if (requests.length > 0) send("request-state-updated", { requests });
  if (finished > 0) send("usage-updated", { requests: finished });
}, 250);

// ---- the five questions ----

const failed = (event) => event.outcome !== "OUTCOME_OK" && event.outcome !== "OUTCOME_CLIENT_CLOSED";
const sum = (rows, key) => rows.reduce((total, row) => total + (row[key] ?? 0), 0);
function percentile(rows, key, share) {
  const values = rows
    .map((row) => row[key])
    .filter((value) => value !== null)
    .sort((a, b) => a - b);
  return values.length === 0 ? null : values[Math.min(values.length - 1, Math.floor(values.length * share))];
}
const rangeOf = (payload) => {
  const end = payload.range?.end ?? Date.now();
  return { start: payload.range?.start ?? end - DAY, end };
};
function select(payload, { start, end } = rangeOf(payload)) {
  if (mode === "empty") return [];
  const filter = payload.filter ?? {};
  const allowed = (list, value) => !list?.length || list.includes(value);
  return events.filter(
    (event) =>
      event.startedAt >= start &&
      event.startedAt < end &&
      allowed(filter.models, event.model) &&
      allowed(filter.outcomes, event.outcome) &&
      allowed(filter.clientKeys, event.clientKey) &&
      allowed(filter.upstreams, event.upstream) &&
      (filter.stream == null || filter.stream === event.stream),
  );
}
const without = (rows) =>
  rows.filter((row) => row.outcome === "OUTCOME_OK" && row.usageSource === "USAGE_SOURCE_NOT_REPORTED")
    .length;

function summary(payload, range) {
  const rows = select(payload, range);
  const durations = (key) => ({
    p50: percentile(rows, key, 0.5),
    p95: percentile(rows, key, 0.95),
    p99: percentile(rows, key, 0.99),
  });
  const rates = (key) => ({
    p5: percentile(rows, key, 0.05),
    p50: percentile(rows, key, 0.5),
    p95: percentile(rows, key, 0.95),
  });
  return {
    requests: rows.length,
    failedRequests: rows.filter(failed).length,
    clientClosedRequests: rows.filter((row) => row.outcome === "OUTCOME_CLIENT_CLOSED").length,
    inFlightRequests: running.size,
    promptTokens: sum(rows, "promptTokens"),
    cachedPromptTokens: sum(rows, "cachedPromptTokens"),
    cacheWriteTokens: 0,
    completionTokens: sum(rows, "completionTokens"),
    reasoningTokens: 0,
    totalTokens: sum(rows, "totalTokens"),
    requestsWithoutUsage: without(rows),
    requestsWithEstimatedUsage: rows.filter((row) => row.usageSource === "USAGE_SOURCE_ESTIMATED").length,
    durationMs: durations("duration"),
    timeToFirstTokenMs: durations("firstToken"),
    decodeTokensPerSecond: rates("decodeTokensPerSecond"),
    prefillTokensPerSecond: rates("prefillTokensPerSecond"),
    upstreamCostUsd: null,
    previous: null,
    range,
  };
}

function buckets(payload) {
  const range = rangeOf(payload);
  const width = (payload.bucketSeconds || 900) * 1e3;
  const first = Math.floor(range.start / width) * width;
  const starts = [];
  for (let at = first; at < range.end; at += width) starts.push(at);
  const dimension = payload.groupBy?.dimension;
  const key = {
    DIMENSION_MODEL: "model",
    DIMENSION_OUTCOME: "outcome",
    DIMENSION_CLIENT_KEY: "clientKey",
    DIMENSION_UPSTREAM: "upstream",
  }[dimension];
  const groups = new Map();
  for (const event of select(payload)) {
    const name = key ? (event[key] ?? "") : "";
    if (!groups.has(name))
      groups.set(
        name,
        starts.map(() => []),
      );
    groups.get(name)[Math.floor((event.startedAt - first) / width)]?.push(event);
  }
  if (groups.size === 0 && !key)
    groups.set(
      "",
      starts.map(() => []),
    );
  const weight = ([, columns]) => columns.reduce((total, rows) => total + sum(rows, "totalTokens"), 0);
  const sorted = [...groups].sort((a, b) => weight(b) - weight(a));
  const top = sorted.slice(0, payload.top || 5);
  const rest = sorted.slice(payload.top || 5);
  const all = top.map(([name, columns]) => ({ name, other: false, columns }));
  if (rest.length > 0)
    all.push({
      name: "",
      other: true,
      columns: starts.map((_, at) => rest.flatMap(([, columns]) => columns[at])),
    });
  return { starts, width, all, range };
}

const PROCEDURES = {
  UsageSummary(payload) {
    const range = rangeOf(payload);
    const value = summary(payload, range);
    if (payload.comparePrevious)
      value.previous = summary(payload, { start: 2 * range.start - range.end, end: range.start });
    return value;
  },
  UsageTimeseries(payload) {
    const { starts, width, all } = buckets(payload);
    const column = (columns, key) => columns.map((rows) => sum(rows, key));
    return {
      bucketSeconds: width / 1e3,
      bucketStarts: starts,
      series: all.map(({ name, other, columns }) => ({
        key: name,
        other,
        requests: columns.map((rows) => rows.length),
        failedRequests: columns.map((rows) => rows.filter(failed).length),
        ...Object.fromEntries(
          ["promptTokens", "cachedPromptTokens", "completionTokens", "reasoningTokens", "totalTokens"].map(
            (key) => [key, column(columns, key)],
          ),
        ),
      })),
    };
  },
  ThroughputTimeseries(payload) {
    const { starts, width, all } = buckets(payload);
    const at = (columns, key, share) => columns.map((rows) => percentile(rows, key, share));
    const having = (columns, key) => columns.map((rows) => rows.filter((row) => row[key] !== null).length);
    return {
      bucketSeconds: width / 1e3,
      bucketStarts: starts,
      series: all
        .filter(({ other }) => !other)
        .map(({ name, columns }) => ({
          key: name,
          tokensPerSecond: columns.map((rows) => (sum(rows, "completionTokens") * 1e3) / width),
          decodeP5: at(columns, "decodeTokensPerSecond", 0.05),
          decodeP50: at(columns, "decodeTokensPerSecond", 0.5),
          decodeP95: at(columns, "decodeTokensPerSecond", 0.95),
          prefillP50: at(columns, "prefillTokensPerSecond", 0.5),
          timeToFirstTokenMsP50: at(columns, "firstToken", 0.5),
          timeToFirstTokenMsP95: at(columns, "firstToken", 0.95),
          timeToFirstTokenMsP99: at(columns, "firstToken", 0.99),
          tokenGapMsP50: columns.map(() => null),
          tokenGapMsP99: columns.map(() => null),
          concurrencyMean: columns.map((rows) => sum(rows, "duration") / width),
          concurrencyMax: columns.map((rows) =>
            Math.min(rows.length, Math.ceil((sum(rows, "duration") / width) * 2.6)),
          ),
          requests: columns.map((rows) => rows.length),
          requestsWithDecode: having(columns, "decodeTokensPerSecond"),
          requestsWithPrefill: having(columns, "prefillTokensPerSecond"),
          requestsWithFirstToken: having(columns, "firstToken"),
        })),
    };
  },
  ModelBreakdown(payload) {
    const rows = select(payload);
    const { start, end } = rangeOf(payload);
    const names = new Map();
    for (const row of rows) names.set(row.model, [...(names.get(row.model) ?? []), row]);
    const table = [...names].map(([model, own]) => ({
      model,
      requests: own.length,
      share: own.length / rows.length,
      failedRequests: own.filter(failed).length,
      errorShare: own.filter(failed).length / own.length,
      promptTokens: sum(own, "promptTokens"),
      cachedPromptTokens: sum(own, "cachedPromptTokens"),
      cacheWriteTokens: 0,
      completionTokens: sum(own, "completionTokens"),
      reasoningTokens: 0,
      totalTokens: sum(own, "totalTokens"),
      requestsWithoutUsage: without(own),
      decodeTokensPerSecondP50: percentile(own, "decodeTokensPerSecond", 0.5),
      prefillTokensPerSecondP50: percentile(own, "prefillTokensPerSecond", 0.5),
      timeToFirstTokenMsP50: percentile(own, "firstToken", 0.5),
      timeToFirstTokenMsP95: percentile(own, "firstToken", 0.95),
      lastSeenAt: Math.max(...own.map((row) => row.startedAt)),
      sparkline: Array.from(
        { length: 24 },
        (_, at) =>
          own.filter((row) => Math.floor(((row.startedAt - start) / (end - start)) * 24) === at).length,
      ),
    }));
    const by =
      {
        MODEL_ORDER_TOTAL_TOKENS: "totalTokens",
        MODEL_ORDER_COMPLETION_TOKENS: "completionTokens",
        MODEL_ORDER_LAST_SEEN: "lastSeenAt",
        MODEL_ORDER_ERROR_SHARE: "errorShare",
      }[payload.order] ?? "requests";
    table.sort((a, b) => b[by] - a[by]);
    return { rows: table.slice(0, payload.limit || 100), total: table.length };
  },
  RecentRequests(payload) {
    const { page, pageSize } = payload;
    if (!(page >= 1) || !(pageSize >= 1 && pageSize <= 100))
      throw new Error("page must be >= 1 and pageSize 1 to 100");
    const rows = select(payload).sort((a, b) => b.startedAt - a.startedAt);
    const first = (page - 1) * pageSize;
    return {
      rows: rows.slice(first, first + pageSize),
      total: rows.length,
      page,
      pageSize,
      nextPageToken: "",
    };
  },
};

function answer(frame) {
  const exit = (exit) => [{ _tag: "Exit", requestId: frame.id, exit }];
  const procedure = PROCEDURES[frame.tag];
  if (!procedure) return [{ _tag: "Defect", defect: `Unknown request tag: ${frame.tag}` }];
  if (mode === "failing") {
    const error = { _tag: "DatabaseError", message: "The database does not answer. Try again in a moment." };
    return exit({ _tag: "Failure", cause: { _tag: "Fail", error } });
  }
  try {
    return exit({ _tag: "Success", value: procedure(frame.payload ?? {}) });
  } catch (error) {
    return exit({ _tag: "Failure", cause: { _tag: "Die", defect: error.message } });
  }
}

// ---- HTTP ----

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
const SECURITY = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};

function serveFile(path, response) {
  let file = join(dist, normalize(path));
  if (!file.startsWith(dist) || path === "/" || (!extname(path) && !existsSync(file)))
    file = join(dist, "index.html");
  if (!existsSync(file)) return response.writeHead(404).end("not found, or not built: npm run build");
  response
    .writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", ...SECURITY })
    .end(readFileSync(file));
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://fake");
  const json = (status, value) =>
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  if (pathname.startsWith("/fake/")) {
    mode = pathname.slice(6);
    if (mode === "down") for (const stream of streams) stream.end();
    return json(200, { mode });
  }
  if (mode === "down" && (pathname === "/rpc" || pathname === "/events"))
    return response.writeHead(500).end();
  if (pathname === "/healthz") return json(200, { status: "ok" });
  if (pathname === "/rpc") return json(200, answer(JSON.parse(await body(request))));
  if (pathname === "/v1/chat/completions") {
    await body(request);
    if (mode === "empty") {
      events.length = 0;
      mode = "ok";
    }
    const event = start();
    setTimeout(() => json(200, { id: event.responseId, usage: { prompt_tokens: event.promptTokens } }), 50);
    event.duration = Math.min(event.duration, 400);
    return;
  }
  if (pathname === "/events") {
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-cache, no-transform",
    });
    streams.add(response);
    response.on("close", () => streams.delete(response));
    const requests = mode === "empty" ? [] : [...running.values()].map((one) => liveView(one, Date.now()));
    const connected = {
      version: "0.0.0",
      instance: "fake",
      seq: sequence,
      resumed: false,
      now: Date.now(),
      requests,
    };
    response.write(
      `retry: 2000\n\nid: fake-${sequence}\nevent: connected\ndata: ${JSON.stringify(connected)}\n\n`,
    );
    return;
  }
  serveFile(pathname, response);
});
server.listen(port, "127.0.0.1", () =>
  console.log(`fake gateway on http://127.0.0.1:${server.address().port}/`),
);
