// The contract's messages as they look on /rpc and /events: the generated
// protobuf types, mapped. Types only, so nothing generated is in the bundle.
import type { Message } from "@bufbuild/protobuf";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import type * as analytics from "../gen/modash/v1/analytics_service_pb.ts";
import type * as budget from "../gen/modash/v1/budget_pb.ts";
import type * as query from "../gen/modash/v1/query_pb.ts";
import type * as usage from "../gen/modash/v1/usage_event_pb.ts";

/** Every enum of the contract with the prefix that its values carry on the wire. */
type Enums =
  | [analytics.CompletenessState, `COMPLETENESS_STATE_${keyof typeof analytics.CompletenessState}`]
  | [analytics.BreakdownOrder, `BREAKDOWN_ORDER_${keyof typeof analytics.BreakdownOrder}`]
  | [analytics.ModelOrder, `MODEL_ORDER_${keyof typeof analytics.ModelOrder}`]
  | [analytics.SessionOrder, `SESSION_ORDER_${keyof typeof analytics.SessionOrder}`]
  | [analytics.NamedKind, `NAMED_KIND_${keyof typeof analytics.NamedKind}`]
  | [budget.CalendarPeriod, `CALENDAR_PERIOD_${keyof typeof budget.CalendarPeriod}`]
  | [budget.NoticeDelivery, `NOTICE_DELIVERY_${keyof typeof budget.NoticeDelivery}`]
  | [query.Dimension, `DIMENSION_${keyof typeof query.Dimension}`]
  | [usage.CostSource, `COST_SOURCE_${keyof typeof usage.CostSource}`]
  | [usage.Operation, `OPERATION_${keyof typeof usage.Operation}`]
  | [usage.Outcome, `OUTCOME_${keyof typeof usage.Outcome}`]
  | [usage.RateLimitKind, `RATE_LIMIT_KIND_${keyof typeof usage.RateLimitKind}`]
  | [usage.RequestPhase, `REQUEST_PHASE_${keyof typeof usage.RequestPhase}`]
  | [usage.SpeedSource, `SPEED_SOURCE_${keyof typeof usage.SpeedSource}`]
  | [usage.UsageSource, `USAGE_SOURCE_${keyof typeof usage.UsageSource}`];

/** The wire names of one enum. A number is assignable to every enum, so that only its text tells it apart. */
type EnumName<T> = [T] extends [number]
  ? `${number}` extends `${T}`
    ? never
    : Enums extends infer E
      ? E extends [infer Value, infer Name]
        ? [T] extends [Value]
          ? Name
          : never
        : never
      : never
  : never;

type Fields<T> = Exclude<keyof T, "$typeName" | "$unknown">;

/** Ids of spans, the only 64-bit integers that are text: 16 hexadecimal digits. */
type SpanId = "spanId" | "parentSpanId";

/** Keys whose value may be missing: unknown there, `null` here. */
type Unknowable<T, K extends keyof T> = undefined extends T[K] ? null : never;

/**
 * A message as an answer of /rpc holds it: 64-bit integers, Timestamps (since
 * 1970) and Durations are numbers (milliseconds), enums are names, what is
 * unknown is null, and so are numbers in a column that are not known.
 */
export type Rpc<T> = T extends Timestamp | Duration
  ? number
  : T extends bigint
    ? number
    : T extends string | boolean
      ? T
      : T extends number
        ? [EnumName<T>] extends [never]
          ? number
          : EnumName<T>
        : T extends number[]
          ? [EnumName<T[number]>] extends [never]
            ? (number | null)[]
            : EnumName<T[number]>[]
          : T extends (infer Item)[]
            ? Rpc<Item>[]
            : T extends Message
              ? {
                  [K in Fields<T>]-?:
                    | (K extends SpanId ? string : Rpc<Exclude<T[K], undefined>>)
                    | Unknowable<T, K>;
                }
              : T extends object
                ? { [K in keyof T]: Rpc<T[K]> }
                : T;

/** A oneof of a request is the one field that is set. */
type OneOf<T> = T extends { case: infer Case extends string; value: infer Value }
  ? { [K in Case]: RpcInput<Value> }
  : never;

/** A message as a request of /rpc takes it: every field may be left out. */
export type RpcInput<T> = T extends (infer Item)[]
  ? RpcInput<Item>[]
  : T extends query.GroupBy
    ? OneOf<T["by"]>
    : T extends Timestamp | Duration
      ? number
      : T extends Message
        ? { [K in Fields<T>]?: RpcInput<Exclude<T[K], undefined>> }
        : Rpc<T>;

/** A budget in an answer of /rpc: of each oneof one field is not null. */
export type Budget = Omit<Rpc<budget.Budget>, "period" | "amount"> & {
  calendar: EnumName<budget.CalendarPeriod> | null;
  rolling: number | null;
  tokens: number | null;
  nanoUsd: number | null;
};

/** A budget in a request of /rpc. */
type BudgetInput = Omit<RpcInput<budget.SaveBudgetRequest>, "period" | "amount"> & {
  [K in "calendar" | "rolling" | "tokens" | "nanoUsd"]?: Budget[K];
};

/** Procedure names with what they take and give. */
export interface Procedures {
  UsageSummary: [RpcInput<analytics.UsageSummaryRequest>, Rpc<analytics.UsageSummaryResponse>];
  UsageTimeseries: [RpcInput<analytics.UsageTimeseriesRequest>, Rpc<analytics.UsageTimeseriesResponse>];
  ThroughputTimeseries: [
    RpcInput<analytics.ThroughputTimeseriesRequest>,
    Rpc<analytics.ThroughputTimeseriesResponse>,
  ];
  ModelBreakdown: [RpcInput<analytics.ModelBreakdownRequest>, Rpc<analytics.ModelBreakdownResponse>];
  Breakdown: [RpcInput<analytics.BreakdownRequest>, Rpc<analytics.BreakdownResponse>];
  Sessions: [RpcInput<analytics.SessionsRequest>, Rpc<analytics.SessionsResponse>];
  Session: [RpcInput<analytics.SessionRequest>, Rpc<analytics.SessionResponse>];
  RecentRequests: [RpcInput<analytics.RecentRequestsRequest>, Rpc<analytics.RecentRequestsResponse>];
  Completeness: [RpcInput<analytics.CompletenessRequest>, Rpc<analytics.CompletenessResponse>];
  ErrorBreakdown: [RpcInput<analytics.ErrorBreakdownRequest>, Rpc<analytics.ErrorBreakdownResponse>];
  RateLimits: [RpcInput<analytics.RateLimitsRequest>, Rpc<analytics.RateLimitsResponse>];
  ListViews: [RpcInput<analytics.ListViewsRequest>, Rpc<analytics.ListViewsResponse>];
  SaveView: [RpcInput<analytics.SaveViewRequest>, Rpc<analytics.SaveViewResponse>];
  DeleteView: [RpcInput<analytics.DeleteViewRequest>, Rpc<analytics.DeleteViewResponse>];
  ListNames: [RpcInput<analytics.ListNamesRequest>, Rpc<analytics.ListNamesResponse>];
  SetName: [RpcInput<analytics.SetNameRequest>, Rpc<analytics.SetNameResponse>];
  ListBudgets: [RpcInput<budget.ListBudgetsRequest>, { budgets: Budget[] }];
  SaveBudget: [BudgetInput, { budget: Budget | null }];
  DeleteBudget: [RpcInput<budget.DeleteBudgetRequest>, Rpc<budget.DeleteBudgetResponse>];
  ListMarks: [RpcInput<analytics.ListMarksRequest>, Rpc<analytics.ListMarksResponse>];
  AddMark: [RpcInput<analytics.AddMarkRequest>, Rpc<analytics.AddMarkResponse>];
  DeleteMark: [RpcInput<analytics.DeleteMarkRequest>, Rpc<analytics.DeleteMarkResponse>];
}
export type Procedure = keyof Procedures;
export type Payload<P extends Procedure> = Procedures[P][0];
export type Answer<P extends Procedure> = Procedures[P][1];

export type UsageSummary = Answer<"UsageSummary">;
export type UsageTimeseries = Answer<"UsageTimeseries">;
export type ThroughputTimeseries = Answer<"ThroughputTimeseries">;
export type ModelRow = Rpc<analytics.ModelRow>;
export type BreakdownRow = Rpc<analytics.BreakdownRow>;
export type SessionRow = Rpc<analytics.SessionRow>;
export type Cost = Rpc<query.Cost>;
export type RequestCost = Rpc<usage.RequestCost>;
export type ErrorRow = Rpc<analytics.ErrorRow>;
export type NamedKind = Rpc<analytics.GivenName>["kind"];
export type RateLimitRow = Rpc<analytics.RateLimitRow>;
export type RefusalRow = Rpc<analytics.RefusalRow>;
export type Mark = Rpc<analytics.Mark>;
export type ReplicaCompleteness = Rpc<analytics.ReplicaCompleteness>;
export type UsageEvent = Rpc<usage.UsageEvent>;
export type Filter = RpcInput<query.Filter>;
export type Outcome = UsageEvent["outcome"];
export type Operation = UsageEvent["operation"];
export type UsageSource = UsageEvent["usageSource"];
export type Dimension = EnumName<query.Dimension>;

/** What a running request does, in the words of /events. */
export type RequestState = "queued" | "streaming" | "completed" | "failed" | "cancelled";

/** One request of `request-state-updated` and of the snapshot in `connected`. Times in ms since 1970. */
export interface LiveRequest {
  id: string;
  state: RequestState;
  model: string | null;
  startedAt: number;
  firstTokenAt: number | null;
  completionTokens: number | null;
  phase: Rpc<usage.RequestPhase>;
  upstream: string;
  dialect: string;
  stream: boolean;
  clientKey: string | null;
  path: string;
  contentEvents: number;
  responseBytes: number;
}
