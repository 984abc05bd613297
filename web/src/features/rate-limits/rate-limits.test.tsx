import { screen, waitFor, within } from "@testing-library/react";
import { expect, test } from "vitest";
import type { RateLimitRow, RefusalRow } from "../../api/types.ts";
import { NOON } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { RateLimits } from "./rate-limits.tsx";

const row = (change: Partial<RateLimitRow> = {}): RateLimitRow => ({
  upstream: "openai",
  clientKey: "0123456789abcdef",
  kind: "RATE_LIMIT_KIND_TOKENS",
  window: "",
  lastSeenAt: NOON,
  limit: 150_000,
  remaining: 60_000,
  headroom: 0.4,
  resetsAt: NOON + 90_000,
  lowestHeadroom: 0.05,
  lowestRemaining: 7_500,
  lowestAt: NOON - 60_000,
  sparkline: [null, 0.4],
  ...change,
});

const refusal = (change: Partial<RefusalRow> = {}): RefusalRow => ({
  upstream: "openai",
  clientKey: "0123456789abcdef",
  requests: 12,
  lastSeenAt: NOON,
  retryAt: NOON + 5_000,
  ...change,
});

test("each limit says what is left, how low it was, and how many requests were refused", async () => {
  const plan = row({
    upstream: "claude",
    clientKey: null,
    kind: "RATE_LIMIT_KIND_PLAN",
    window: "5h",
    limit: null,
    remaining: null,
    headroom: 0.02,
    resetsAt: 1,
  });
  const gateway = fakeGateway({
    RateLimits: () => ({
      rows: [plan, row()],
      total: 7,
      refusals: [refusal(), refusal({ upstream: "gemini", clientKey: null, requests: 3 })],
    }),
  });
  show(<RateLimits />, "/throughput?from=-1h&upstream=openai&model=m&not.client=k9");
  const tokens = within(await screen.findByRole("row", { name: /openai/ }));
  expect(tokens.getByRole("cell", { name: "40 % 60k of 150k" })).toBeVisible();
  expect(tokens.getByRole("cell", { name: "5 %" })).toHaveAttribute(
    "title",
    expect.stringContaining("7,500 left"),
  );
  expect(tokens.getByRole("cell", { name: "12" })).toBeVisible();
  const subscription = within(screen.getByRole("row", { name: /claude/ }));
  expect(subscription.getByRole("cell", { name: "plan, 5h" })).toBeVisible();
  expect(subscription.getByRole("cell", { name: "has reset" })).toBeVisible();
  expect(subscription.getByText("2 %").querySelector("[class*=little]")).not.toBeNull();
  expect(tokens.getByText("40 %").querySelector("[class*=little]")).toBeNull();
  const refused = within(screen.getByRole("row", { name: /gemini/ }));
  expect(refused.getByRole("cell", { name: "none stated" })).toBeVisible();
  expect(screen.getByText("the 100 lowest of 7")).toBeVisible();
  const { filter } = gateway.asked.find(({ tag }) => tag === "RateLimits")?.payload ?? {};
  expect(filter).toEqual({ upstreams: ["openai"], exclude: { clientKeys: ["k9"] } });
});

test("where no response states a limit there is no panel", async () => {
  const gateway = fakeGateway({ RateLimits: () => ({ rows: [], total: 0, refusals: [] }) });
  show(<RateLimits />, "/throughput");
  await waitFor(() => expect(gateway.asked.length).toBeGreaterThan(0));
  expect(screen.queryByText("Rate limits")).toBeNull();
});
