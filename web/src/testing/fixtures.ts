// Answers of a small gateway, complete to the last field, for tests to vary.
import type {
  Answer,
  BreakdownRow,
  Budget,
  Cost,
  LiveRequest,
  ModelRow,
  ReplicaCompleteness,
  SessionRow,
  ThroughputTimeseries,
  UsageEvent,
  UsageSummary,
  UsageTimeseries,
} from "../api/types.ts";

/** Nov 23 2026, 14:00 UTC. */
export const NOON = Date.UTC(2026, 10, 23, 14);

/** All known, from the price list. */
export const cost = (change: Partial<Cost> = {}): Cost => ({
  nanoUsd: 0,
  cacheSavingNanoUsd: 0,
  knownRequests: 0,
  unknownRequests: 0,
  estimatedRequests: 0,
  ...change,
});

export const summary = (change: Partial<UsageSummary> = {}): UsageSummary => ({
  requests: 1_234,
  failedRequests: 37,
  inFlightRequests: 0,
  promptTokens: 900_000,
  cachedPromptTokens: 400_000,
  cacheWriteTokens: 0,
  completionTokens: 123_456,
  reasoningTokens: 0,
  totalTokens: 1_023_456,
  requestsWithoutUsage: 0,
  requestsWithEstimatedUsage: 0,
  durationMs: { p50: 840, p95: 12_400, p99: 30_000 },
  timeToFirstTokenMs: { p50: 300, p95: 900, p99: 2_000 },
  decodeTokensPerSecond: { p5: 12, p50: 41.5, p95: 80 },
  prefillTokensPerSecond: { p5: 200, p50: 900, p95: 2_000 },
  previous: null,
  clientClosedRequests: 5,
  upstreamCostUsd: null,
  cost: cost({ unknownRequests: 1_234 }),
  range: { start: NOON - 86_400_000, end: NOON },
  ...change,
});

const zeros = [0, 0, 0, 0];

export const timeseries = (change: Partial<UsageTimeseries["series"][number]> = {}): UsageTimeseries => ({
  otherGroups: 0,
  bucketSeconds: 900,
  bucketStarts: zeros.map((_, at) => NOON + at * 900_000),
  series: [
    {
      key: "",
      other: false,
      requests: [1, 2, 3, 4],
      failedRequests: [0, 0, 1, 0],
      promptTokens: [100, 200, 300, 400],
      cachedPromptTokens: [10, 20, 30, 40],
      completionTokens: [11, 22, 33, 44],
      reasoningTokens: zeros,
      totalTokens: [111, 222, 333, 444],
      costNanoUsd: zeros,
      cacheSavingNanoUsd: zeros,
      unknownCostRequests: [1, 2, 3, 4],
      ...change,
    },
  ],
});

export const throughput = (): ThroughputTimeseries => {
  const column = (...values: (number | null)[]) => values;
  return {
    otherGroups: 0,
    bucketSeconds: 900,
    bucketStarts: zeros.map((_, at) => NOON + at * 900_000),
    series: [
      {
        key: "",
        tokensPerSecond: column(1, 2, 3, 4),
        decodeP5: column(10, null, 12, 13),
        decodeP50: column(40, null, 42, 43),
        decodeP95: column(90, null, 92, 93),
        prefillP50: column(900, null, 950, 980),
        timeToFirstTokenMsP50: column(300, null, 320, 310),
        timeToFirstTokenMsP95: column(900, null, 950, 980),
        timeToFirstTokenMsP99: column(1_900, null, 1_950, 1_980),
        tokenGapMsP50: column(20, null, 21, 22),
        tokenGapMsP99: column(80, null, 81, 82),
        concurrencyMean: column(0.5, 0, 1.5, 2),
        concurrencyMax: [1, 0, 3, 4],
        requests: [10, 10, 10, 10],
        requestsWithDecode: [8, 0, 6, 6],
        requestsWithPrefill: [7, 0, 5, 5],
        requestsWithFirstToken: [8, 0, 6, 6],
      },
    ],
  };
};

export const modelRow = (change: Partial<ModelRow> = {}): ModelRow => ({
  model: "qwen3-8b",
  requests: 100,
  share: 0.5,
  failedRequests: 1,
  errorShare: 0.01,
  promptTokens: 5_000,
  cachedPromptTokens: 1_000,
  cacheWriteTokens: 0,
  completionTokens: 700,
  reasoningTokens: 0,
  totalTokens: 5_700,
  requestsWithoutUsage: 0,
  decodeTokensPerSecondP50: 41.5,
  prefillTokensPerSecondP50: 900,
  timeToFirstTokenMsP50: 310,
  timeToFirstTokenMsP95: 950,
  lastSeenAt: NOON,
  sparkline: Array.from({ length: 24 }, (_, at) => at),
  cost: cost({ unknownRequests: 100 }),
  ...change,
});

export const replica = (change: Partial<ReplicaCompleteness> = {}): ReplicaCompleteness => ({
  replicaId: "proxy-1",
  version: "0.1.0",
  processStartedAt: NOON - 3_600_000,
  reportedAt: NOON,
  reported: {
    started: 1_203,
    finished: 1_200,
    queued: 0,
    spooled: 0,
    sent: 1_200,
    acknowledged: 1_200,
    dropped: 0,
    rejected: 0,
    oldestUnsentAt: null,
    recovered: 0,
    interrupted: 0,
    damaged: 0,
    stopped: false,
  },
  committed: 1_200,
  duplicate: 0,
  rejected: 0,
  state: "COMPLETENESS_STATE_COMPLETE",
  unaccounted: 0,
  missing: 0,
  droppedBefore: 0,
  rejectedBefore: 0,
  ...change,
});

/** UUIDv7 of a moment. */
export const idAt = (at: number): string => {
  const time = at.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000001`;
};

export const event = (change: Partial<UsageEvent> = {}): UsageEvent => ({
  eventId: idAt(change.startedAt ?? NOON),
  replicaId: "proxy-1",
  startedAt: NOON,
  upstream: "default",
  dialect: "openai-chat",
  operation: "OPERATION_CHAT",
  method: "POST",
  path: "/v1/chat/completions",
  modelRequested: "qwen3-8b",
  stream: true,
  userAgentFamily: "openai-python",
  clientKey: "9f2c41aa07be6d13",
  user: null,
  session: null,
  tags: {},
  status: 200,
  model: "qwen3-8b",
  responseId: "chatcmpl-1",
  finishReason: "stop",
  serviceTier: null,
  outcome: "OUTCOME_OK",
  errorType: null,
  bookOnce: false,
  usageSource: "USAGE_SOURCE_UPSTREAM",
  promptTokens: 812,
  cachedPromptTokens: 0,
  cacheWriteTokens: null,
  cacheWrite1hTokens: null,
  completionTokens: 345,
  reasoningTokens: null,
  audioPromptTokens: null,
  audioCompletionTokens: null,
  cachedAudioPromptTokens: null,
  imagePromptTokens: null,
  cachedImagePromptTokens: null,
  imageCompletionTokens: null,
  images: null,
  characters: null,
  totalTokens: 1_157,
  billedPromptTokens: null,
  billedCompletionTokens: null,
  searchUnits: null,
  billedAudio: null,
  upstreamCostUsd: null,
  rateLimits: null,
  previousResponseId: null,
  connect: 1,
  upstreamHead: 280,
  upstreamSent: null,
  traceId: null,
  spanId: null,
  parentSpanId: null,
  firstToken: 300,
  lastToken: 8_300,
  duration: 8_340,
  contentEvents: 345,
  tokenGaps: null,
  prefillTokensPerSecond: 2_706,
  decodeTokensPerSecond: 43,
  speedSource: "SPEED_SOURCE_MEASURED",
  requestBytes: 3_000,
  responseBytes: 70_000,
  cost: null,
  ...change,
});

export const page = (rows: UsageEvent[], total = rows.length): Answer<"RecentRequests"> => ({
  rows,
  total,
  page: 1,
  pageSize: 10,
  nextPageToken: "",
});

export const running = (change: Partial<LiveRequest> = {}): LiveRequest => ({
  id: "live-1",
  state: "queued",
  model: "qwen3-8b",
  startedAt: Date.now() - 2_000,
  firstTokenAt: null,
  completionTokens: null,
  phase: "REQUEST_PHASE_WAITING",
  upstream: "default",
  dialect: "openai-chat",
  stream: true,
  clientKey: null,
  path: "/v1/chat/completions",
  contentEvents: 0,
  responseBytes: 0,
  ...change,
});

export const breakdownRow = (change: Partial<BreakdownRow> = {}): BreakdownRow => {
  const { model, ...row } = modelRow();
  return { key: model, ...row, ...change };
};

export const sessionRow = (change: Partial<SessionRow> = {}): SessionRow => ({
  session: "refactor",
  firstStartedAt: NOON,
  lastStartedAt: NOON + 50_000,
  lastEndedAt: NOON + 60_000,
  requests: 3,
  failedRequests: 0,
  promptTokens: 9_000,
  cachedPromptTokens: 4_500,
  completionTokens: 1_000,
  totalTokens: 10_000,
  cost: cost({ unknownRequests: 3 }),
  modelTime: 90_000,
  models: ["qwen3-8b"],
  ...change,
});

/** $40 of $100 in November in Berlin, half of which has passed. */
export const budget = (change: Partial<Budget> = {}): Budget => ({
  budgetId: "a",
  name: "team",
  filter: { ...NO_FILTER, models: ["m"], exclude: { ...NO_EXCLUSION, users: ["u"] } },
  calendar: "CALENDAR_PERIOD_MONTH",
  rolling: null,
  timeZone: "Europe/Berlin",
  tokens: null,
  nanoUsd: 100e9,
  shares: [50, 80],
  webhookOrigin: "",
  state: {
    computedAt: NOON,
    period: { start: Date.UTC(2026, 9, 31, 23), end: Date.UTC(2026, 10, 30, 23) },
    spent: 40e9,
    unknownRequests: 0,
    estimatedRequests: 0,
    spentRatio: 0.4,
    projected: 80e9,
    problem: "",
  },
  notices: [],
  ...change,
});

const NO_EXCLUSION = {
  models: [],
  upstreams: [],
  dialects: [],
  operations: [],
  outcomes: [],
  clientKeys: [],
  users: [],
  sessions: [],
  tags: {},
};
const NO_FILTER = {
  ...NO_EXCLUSION,
  stream: null,
  traceIds: [],
  minPromptTokens: null,
  maxPromptTokens: null,
};

/** One that is still to be delivered. */
export const budgetNotice = (change: Partial<Budget["notices"][number]> = {}): Budget["notices"][number] => ({
  noticeId: "n",
  share: 50,
  reachedAt: NOON,
  period: { start: NOON, end: NOON + 1 },
  spent: 50e9,
  delivery: "NOTICE_DELIVERY_PENDING",
  attempts: 3,
  deliveredAt: null,
  nextAttemptAt: NOON + 60_000,
  lastError: "status 500",
  ...change,
});
