import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { summary } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { UsageHint } from "./usage-hint.tsx";
import { UsageSummaryTiles } from "./usage-summary-tiles.tsx";

const tiles = () => screen.findByRole("region", { name: "Summary" });

test("the tiles show the totals of the range", async () => {
  fakeGateway({ UsageSummary: () => summary({ previous: summary({ requests: 1_000 }) }) });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByText("1,234")).toBeVisible();
  const region = await tiles();
  expect(region).toHaveTextContent("1.02M");
  expect(region).toHaveTextContent("900k prompt");
  expect(region).toHaveTextContent("3 %");
  expect(region).toHaveTextContent("up 23 % against the range before");
  expect(screen.getByRole("link", { name: "Errors" })).toHaveAttribute("href", "/requests?status=error");
});

test("while it loads nothing is shown as 0", async () => {
  fakeGateway({ UsageSummary: () => new Promise(() => {}) });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await tiles()).toHaveAttribute("aria-busy", "true");
  expect(screen.queryByText("0")).not.toBeInTheDocument();
});

test("without requests there is no share of errors", async () => {
  fakeGateway({ UsageSummary: () => summary({ requests: 0, failedRequests: 0, totalTokens: 0 }) });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByTitle("0 of 0 requests")).toHaveTextContent("–");
});

test("an error says so and can be tried again", async () => {
  const gateway = fakeGateway({
    UsageSummary: () => {
      throw new DatabaseDown("the database is away");
    },
  });
  show(<UsageSummaryTiles trends={undefined} />);
  expect(await screen.findByRole("alert")).toHaveTextContent("the database is away");
  gateway.handlers.UsageSummary = () => summary();
  await userEvent.click(screen.getByRole("button", { name: "Retry" }));
  expect(await screen.findByText("1,234")).toBeVisible();
});

test("the view's filters and range are asked for", async () => {
  const gateway = fakeGateway({ UsageSummary: () => summary() });
  show(
    <UsageSummaryTiles trends={undefined} />,
    "/?model=a&from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z&tz=Asia/Tokyo",
  );
  await screen.findByText("1,234");
  expect(gateway.asked[0]?.payload).toMatchObject({
    filter: { models: ["a"] },
    range: { start: Date.UTC(2026, 10, 1), end: Date.UTC(2026, 10, 2) },
    timeZone: "Asia/Tokyo",
    comparePrevious: true,
  });
});

test("requests without usage are told, with the setting that helps", async () => {
  fakeGateway({ UsageSummary: () => summary({ requestsWithoutUsage: 12, requestsWithEstimatedUsage: 1 }) });
  show(<UsageHint />);
  const note = await screen.findByRole("note");
  expect(note).toHaveTextContent("12 requests came without usage, 1 is estimated");
  expect(note).toHaveTextContent("MODASH_PROXY_STREAM_USAGE=inject");
});

test("full reports are told as well", async () => {
  fakeGateway({ UsageSummary: () => summary() });
  show(<UsageHint />);
  expect(await screen.findByText("Every successful answer reported its usage.")).toBeVisible();
});
