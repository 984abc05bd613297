import { screen } from "@testing-library/react";
import { beforeEach, expect, test } from "vitest";
import { event, page, replica, timeseries } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import Requests from "./requests.tsx";

beforeEach(() => {
  fakeGateway({
    UsageTimeseries: () => timeseries(),
    Completeness: () => ({ now: Date.now(), replicas: [replica()] }),
    RecentRequests: () => page([event()], 100),
  });
});

test("requests in flight stand above those that ended", async () => {
  show(<Requests />, "/requests");
  const running = await screen.findByRole("region", { name: "In flight now" });
  const ended = screen.getByRole("region", { name: "Recent requests" });
  expect(running.compareDocumentPosition(ended)).toBe(Node.DOCUMENT_POSITION_FOLLOWING);
});

test("what runs now is neither of a past range nor of a later page", async () => {
  for (const url of ["/requests?from=2026-11-23T14:00:00Z&to=2026-11-23T15:00:00Z", "/requests?page=2"]) {
    const { unmount } = show(<Requests />, url);
    await screen.findByRole("region", { name: "Recent requests" });
    expect(screen.queryByRole("region", { name: "In flight now" })).toBeNull();
    unmount();
  }
});
