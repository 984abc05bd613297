// A gateway with made-up, moving data, for work on the dashboard without a
// backend: answers /rpc, /events and serves dist with the real security headers.
//   node scripts/fake-gateway.mjs [--port 24005] [--empty] [--quiet]
// POST /fake/<mode> switches it while it runs: ok, failing (database errors),
// down (500 on everything), empty, lost (analytics is away: live values are not
// known), busy (50 requests a second). POST /v1/chat/completions is one request.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { intensity, plan, random } from "./fake-requests.mjs";
import { agent } from "./fake-sessions.mjs";

const argument = (name) => process.argv[process.argv.indexOf(name) + 1];
const port = process.argv.includes("--port") ? Number(argument("--port")) : 24_005;
const quiet = process.argv.includes("--quiet");
let mode = process.argv.includes("--empty") ? "empty" : "ok";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const DAY = 86_400_000;

// ---- what has been ----

const events = [];
const began = Date.now();
for (let at = began - 2 * DAY; at < began - 20_000; ) {
  at += (-Math.log(1 - random()) * 7_000) / Math.max(intensity(at), 0.06);
  if (at < began - 20_000) events.push(plan(at));
}

for (const [name, hoursAgo, turns] of [
  ["refactor the parser", 9, 100],
  ["7d2f3c1e-agent.a", 6, 2],
  ["nightly evaluation, 2,000 requests", 30, 1_850],
  ["write the release notes", 3, 24],
])
  events.push(...agent(name, began - hoursAgo * 3_600_000, turns).filter((event) => event.startedAt < began));
events.sort((a, b) => a.startedAt - b.startedAt);

// ---- what was saved ----

const views = new Map();
const budgets = new Map();
const marks = [
  {
    markId: crypto.randomUUID(),
    markedAt: began - 11 * 3_600_000,
    text: "gateway v2.4 (deploy 1182)",
    link: "https://ci.example/deploys/1182",
  },
  { markId: crypto.randomUUID(), markedAt: began - 5 * 3_600_000, text: "vLLM 0.12.1", link: "" },
];

const names = new Map();
const named = (kind, id, name) => names.set(`${kind} ${id}`, { kind, id, name });
named("NAMED_KIND_CLIENT_KEY", "41d0b7e2c95a8f66", "CI runners");
named("NAMED_KIND_USER", "ada", "Ada Lovelace");

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
  if (mode === "empty" || mode === "down" || mode === "lost") return;
  const now = Date.now();
  for (let more = mode === "busy" ? 12.5 : 0; more > random(); more--) {
    const event = start(now);
    event.duration = Math.min(event.duration, 200 + random() * 2_000);
    if (event.firstToken !== null) event.firstToken = Math.min(event.firstToken, event.duration / 2);
  }
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

// ---- the questions ----

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
const isExcluded = (exclude, event) =>
  exclude.models?.includes(event.model) ||
  exclude.outcomes?.includes(event.outcome) ||
  exclude.clientKeys?.includes(event.clientKey) ||
  exclude.upstreams?.includes(event.upstream) ||
  exclude.dialects?.includes(event.dialect) ||
  exclude.operations?.includes(event.operation);
function select(payload, { start, end } = rangeOf(payload)) {
  if (mode === "empty") return [];
  const filter = payload.filter ?? {};
  const allowed = (list, value) => !list?.length || list.includes(value);
  const tags = Object.entries(filter.tags ?? {});
  return events.filter(
    (event) =>
      event.startedAt >= start &&
      event.startedAt < end &&
      allowed(filter.models, event.model) &&
      allowed(filter.outcomes, event.outcome) &&
      allowed(filter.clientKeys, event.clientKey) &&
      allowed(filter.upstreams, event.upstream) &&
      allowed(filter.dialects, event.dialect) &&
      allowed(filter.operations, event.operation) &&
      allowed(filter.users, event.user) &&
      allowed(filter.sessions, event.session) &&
      tags.every(([name, value]) => event.tags?.[name] === value) &&
      (filter.minPromptTokens === undefined || event.promptTokens >= filter.minPromptTokens) &&
      (filter.maxPromptTokens === undefined || event.promptTokens <= filter.maxPromptTokens) &&
      (filter.stream == null || filter.stream === event.stream) &&
      !(filter.exclude && isExcluded(filter.exclude, event)),
  );
}
const without = (rows) =>
  rows.filter((row) => row.outcome === "OUTCOME_OK" && row.usageSource === "USAGE_SOURCE_NOT_REPORTED")
    .length;

const costs = (rows) => {
  const of = (source) => rows.filter((row) => row.cost.source === source).length;
  return {
    nanoUsd: rows.reduce((total, row) => total + (row.cost.nanoUsd ?? 0), 0),
    cacheSavingNanoUsd: rows.reduce((total, row) => total + (row.cost.cacheSavingNanoUsd ?? 0), 0),
    knownRequests: rows.filter((row) => row.cost.nanoUsd !== null).length,
    unknownRequests: of("COST_SOURCE_UNKNOWN"),
    estimatedRequests: of("COST_SOURCE_ESTIMATED"),
  };
};

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
    cost: costs(rows),
    previous: null,
    range,
  };
}

function groupBy(rows, key) {
  const groups = new Map();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return groups;
}

/** A row of a breakdown, but for its name. */
function group(payload, own, all) {
  const { start, end } = rangeOf(payload);
  const part = (row) => Math.floor(((row.startedAt - start) / (end - start)) * 24);
  return {
    requests: own.length,
    share: own.length / all,
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
    sparkline: Array.from({ length: 24 }, (_, at) => own.filter((row) => part(row) === at).length),
    cost: costs(own),
  };
}

function sessionRow(own) {
  const models = groupBy(own, (row) => row.model);
  return {
    session: own[0].session,
    firstStartedAt: Math.min(...own.map((row) => row.startedAt)),
    lastStartedAt: Math.max(...own.map((row) => row.startedAt)),
    lastEndedAt: Math.max(...own.map((row) => row.startedAt + row.duration)),
    requests: own.length,
    failedRequests: own.filter(failed).length,
    promptTokens: sum(own, "promptTokens"),
    cachedPromptTokens: sum(own, "cachedPromptTokens"),
    completionTokens: sum(own, "completionTokens"),
    totalTokens: sum(own, "totalTokens"),
    cost: costs(own),
    modelTime: sum(own, "duration"),
    models: [...models].sort((a, b) => b[1].length - a[1].length).map(([name]) => name),
  };
}

/** A page of rows, the largest first. */
function pageOf(all, by, { page = 1, pageSize }, usual) {
  const size = pageSize || usual;
  all.sort((a, b) => by(b) - by(a));
  return { rows: all.slice((page - 1) * size, page * size), total: all.length, page, pageSize: size };
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
        costNanoUsd: columns.map((rows) => costs(rows).nanoUsd),
        cacheSavingNanoUsd: columns.map((rows) => costs(rows).cacheSavingNanoUsd),
        unknownCostRequests: columns.map((rows) => costs(rows).unknownRequests),
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
    const names = new Map();
    for (const row of rows) names.set(row.model, [...(names.get(row.model) ?? []), row]);
    const table = [...names].map(([model, own]) => ({ model, ...group(payload, own, rows.length) }));
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
  Breakdown(payload) {
    const rows = select(payload);
    const { tag, dimension } = payload.groupBy;
    const field = {
      DIMENSION_MODEL: "model",
      DIMENSION_UPSTREAM: "upstream",
      DIMENSION_OUTCOME: "outcome",
      DIMENSION_CLIENT_KEY: "clientKey",
      DIMENSION_USER: "user",
      DIMENSION_OPERATION: "operation",
      DIMENSION_USER_AGENT: "userAgentFamily",
      DIMENSION_DIALECT: "dialect",
      DIMENSION_SESSION: "session",
      DIMENSION_ERROR_TYPE: "errorType",
    }[dimension];
    const groups = groupBy(rows, (row) => (tag ? row.tags[tag] : row[field]) ?? "");
    const all = [...groups].map(([key, own]) => ({ key, ...group(payload, own, rows.length) }));
    const by =
      {
        BREAKDOWN_ORDER_TOTAL_TOKENS: (row) => row.totalTokens,
        BREAKDOWN_ORDER_COMPLETION_TOKENS: (row) => row.completionTokens,
        BREAKDOWN_ORDER_LAST_SEEN: (row) => row.lastSeenAt,
        BREAKDOWN_ORDER_ERROR_SHARE: (row) => row.errorShare,
        BREAKDOWN_ORDER_COST: (row) => row.cost.nanoUsd,
      }[payload.order] ?? ((row) => row.requests);
    return { ...pageOf(all, by, payload, 100), other: null };
  },
  Sessions(payload) {
    const ran = new Set(select(payload).map((row) => row.session));
    ran.delete(null);
    const all = [...ran].map((name) => sessionRow(events.filter((event) => event.session === name)));
    const by =
      {
        SESSION_ORDER_REQUESTS: (row) => row.requests,
        SESSION_ORDER_TOTAL_TOKENS: (row) => row.totalTokens,
        SESSION_ORDER_COST: (row) => row.cost.nanoUsd,
        SESSION_ORDER_MODEL_TIME: (row) => row.modelTime,
      }[payload.order] ?? ((row) => row.lastStartedAt);
    return pageOf(all, by, payload, 50);
  },
  Session({ session, page = 1, pageSize = 500 }) {
    const all = events.filter((event) => event.session === session);
    all.sort((a, b) => a.startedAt - b.startedAt);
    return {
      session: all.length > 0 ? sessionRow(all) : null,
      requests: all.slice((page - 1) * pageSize, page * pageSize),
      page,
      pageSize,
    };
  },
  ErrorBreakdown(payload) {
    const rows = select(payload).filter(failed);
    const groups = new Map();
    for (const row of rows) {
      const key = [row.outcome, row.errorType, row.model, row.upstream].join("\n");
      groups.set(key, [...(groups.get(key) ?? []), row]);
    }
    const table = [...groups.values()].map((own) => ({
      outcome: own[0].outcome,
      errorType: own[0].errorType,
      model: own[0].model,
      upstream: own[0].upstream,
      requests: own.length,
      share: own.length / rows.length,
      firstStartedAt: own[0].startedAt,
      lastStartedAt: own.at(-1).startedAt,
      clientKeys: new Set(own.map((row) => row.clientKey)).size,
      sampleEventId: own.at(-1).eventId,
    }));
    table.sort((a, b) => b.requests - a.requests);
    return { rows: table.slice(0, payload.limit || 100), total: table.length, failedRequests: rows.length };
  },
  RateLimits(payload) {
    const now = Date.now();
    const limit = (upstream, clientKey, kind, window, limit, headroom, resets) => ({
      upstream,
      clientKey,
      kind: `RATE_LIMIT_KIND_${kind}`,
      window,
      lastSeenAt: now - 4_000,
      limit,
      remaining: limit === null ? null : Math.round(limit * headroom),
      headroom,
      resetsAt: now + resets * 1_000,
      lowestHeadroom: headroom / 2,
      lowestRemaining: limit === null ? null : Math.round((limit * headroom) / 2),
      lowestAt: now - 900_000,
      sparkline: Array.from({ length: 24 }, (_, at) =>
        at < 6 ? null : headroom * (0.75 + Math.cos(at) / 4),
      ),
    });
    const asked = payload.filter?.upstreams ?? [];
    const mine = ({ upstream }) => asked.length === 0 || asked.includes(upstream);
    const rows = [
      limit("claude", "9f2c51d07ab3e846", "PLAN", "5h", null, 0.07, 4_380),
      limit("openai", "27aa90c6f1d85b34", "TOKENS", "", 2_000_000, 0.22, 12),
      limit("claude", "9f2c51d07ab3e846", "PLAN", "7d", null, 0.58, 259_200),
      limit("openai", "27aa90c6f1d85b34", "REQUESTS", "", 10_000, 0.93, 1),
    ].filter(mine);
    const refusals = [
      {
        upstream: "claude",
        clientKey: "9f2c51d07ab3e846",
        requests: 14,
        lastSeenAt: now - 500_000,
        retryAt: now - 400_000,
      },
    ].filter(mine);
    return { rows, total: rows.length, refusals };
  },
  ListViews: () => ({ views: [...views.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) }),
  SaveView({ name, path }) {
    const view = { name, path, savedAt: Date.now() };
    views.set(name, view);
    return { view };
  },
  DeleteView({ name }) {
    views.delete(name);
    return {};
  },
  ListNames: () => ({ names: [...names.values()] }),
  SetName({ kind, id, name }) {
    if (Buffer.byteLength(name) > 80) throw new Error("name must have 1 to 80 bytes");
    if (name) named(kind, id, name);
    else names.delete(`${kind} ${id}`);
    return {};
  },
  ListBudgets: () => ({ budgets: [...budgets.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) }),
  SaveBudget(payload) {
    const budgetId = payload.budgetId || crypto.randomUUID();
    const amount = payload.nanoUsd ?? payload.tokens;
    const spent = budgets.get(budgetId)?.state.spent ?? 0;
    const budget = {
      budgetId,
      name: payload.name,
      filter: payload.filter ?? null,
      calendar: payload.calendar ?? null,
      rolling: payload.rolling ?? null,
      timeZone: payload.timeZone || "UTC",
      tokens: payload.tokens ?? null,
      nanoUsd: payload.nanoUsd ?? null,
      shares: payload.shares?.length ? payload.shares : [50, 80, 100],
      webhookOrigin:
        payload.webhookUrl === undefined
          ? (budgets.get(budgetId)?.webhookOrigin ?? "")
          : payload.webhookUrl && new URL(payload.webhookUrl).origin,
      state: {
        computedAt: Date.now(),
        period: { start: began, end: began + 30 * 86_400_000 },
        spent,
        unknownRequests: 0,
        estimatedRequests: 0,
        spentRatio: spent / amount,
        projected: null,
        problem: "",
      },
      notices: [],
    };
    budgets.set(budgetId, budget);
    return { budget };
  },
  DeleteBudget({ budgetId }) {
    budgets.delete(budgetId);
    return {};
  },
  ListMarks(payload) {
    const { start, end } = rangeOf(payload);
    return { marks: marks.filter(({ markedAt }) => markedAt >= start && markedAt < end) };
  },
  AddMark({ markedAt = Date.now(), text, link = "" }) {
    const mark = { markId: crypto.randomUUID(), markedAt, text, link };
    marks.push(mark);
    marks.sort((a, b) => a.markedAt - b.markedAt);
    return { mark };
  },
  DeleteMark({ markId }) {
    marks.splice(0, marks.length, ...marks.filter((mark) => mark.markId !== markId));
    return {};
  },
  Completeness() {
    const now = Date.now();
    const finished = events.length;
    const account = (replicaId, state, waiting, dropped) => ({
      replicaId,
      version: "0.1.0",
      processStartedAt: began,
      reportedAt: state === "COMPLETENESS_STATE_SILENT" ? now - 90_000 : now - 400,
      reported: {
        started: finished + running.size,
        finished,
        queued: 0,
        spooled: waiting,
        sent: finished - waiting,
        acknowledged: finished - waiting - dropped,
        dropped,
        rejected: 0,
        oldestUnsentAt: waiting ? now - 72_000 : null,
        recovered: 0,
        interrupted: 0,
        damaged: 0,
      },
      committed: finished - waiting - dropped,
      duplicate: 0,
      rejected: 0,
      state,
      unaccounted: 0,
      missing: 0,
      droppedBefore: 0,
      rejectedBefore: 0,
    });
    const replicas = [
      account("proxy-1", "COMPLETENESS_STATE_COMPLETE", 0, 0),
      account("proxy-2", "COMPLETENESS_STATE_WAITING", 1_240, 0),
      account("proxy-3", "COMPLETENESS_STATE_LOSSY", 0, 12),
      account("proxy-4", "COMPLETENESS_STATE_SILENT", 0, 0),
    ];
    return { now, replicas: mode === "empty" ? [] : replicas };
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
  if (
    !file.startsWith(dist) ||
    path === "/" ||
    path.startsWith("/models/") ||
    (!extname(path) && !existsSync(file))
  )
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
    const before = mode;
    mode = pathname.slice(6);
    if (mode === "lost") send("request-state-updated", { live: false, requests: [] });
    if (before === "lost" && mode !== "lost") {
      const requests = [...running.values()].map((one) => liveView(one, Date.now()));
      send("request-state-updated", { live: true, snapshot: true, requests });
    }
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
    event.session = request.headers["x-modash-session"] ?? null;
    event.tags = request.headers["x-modash-tag-team"] ? { team: request.headers["x-modash-tag-team"] } : {};
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
      live: mode !== "lost",
      now: Date.now(),
      requests: mode === "lost" ? [] : requests,
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
