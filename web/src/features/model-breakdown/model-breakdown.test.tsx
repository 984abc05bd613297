import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { cost, modelRow } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { ModelBars } from "./model-bars.tsx";
import { ModelTable } from "./model-table.tsx";

const two = () => ({
  rows: [
    modelRow(),
    modelRow({
      model: "embed",
      requests: 7,
      promptTokens: 90,
      completionTokens: 0,
      decodeTokensPerSecondP50: null,
      timeToFirstTokenMsP50: null,
    }),
  ],
  total: 2,
  other: null,
});

test("each model has a row, and what is unknown is a dash", async () => {
  fakeGateway({ ModelBreakdown: two });
  show(<ModelBars />);
  const row = await screen.findByRole("row", { name: /embed/ });
  expect(within(row).getAllByText("–")).toHaveLength(2);
  expect(screen.getByRole("row", { name: /qwen3-8b/ })).toHaveTextContent("5,700");
});

test("a click on a model narrows the view to it", async () => {
  fakeGateway({ ModelBreakdown: two });
  show(<ModelBars />);
  await userEvent.click(await screen.findByRole("button", { name: "embed" }));
  expect(location.search).toBe("?model=embed");
});

test("models whose requests all failed have an unknown number of tokens", async () => {
  const failed = modelRow({ requests: 3, failedRequests: 3, promptTokens: 0, completionTokens: 0 });
  fakeGateway({ ModelBreakdown: () => ({ rows: [failed], total: 1, other: null }) });
  show(<ModelBars />);
  const row = await screen.findByRole("row", { name: /qwen3-8b/ });
  expect(within(row).getByText("–")).toBeVisible();
});

test("numbers of requests and of failures lead to them", async () => {
  fakeGateway({ ModelBreakdown: two });
  const { unmount } = show(<ModelBars />, "/?from=-7d");
  expect(await screen.findByRole("link", { name: "7" })).toHaveAttribute(
    "href",
    "/requests?from=-7d&model=embed",
  );
  unmount();
  show(<ModelTable />, "/models?from=-7d");
  expect(await screen.findByRole("link", { name: "100" })).toHaveAttribute(
    "href",
    "/requests?from=-7d&model=qwen3-8b",
  );
  expect(screen.getAllByRole("link", { name: "1 %" })[0]).toHaveAttribute(
    "href",
    "/requests?from=-7d&model=qwen3-8b&status=error",
  );
});

test("no models and errors are told apart", async () => {
  const gateway = fakeGateway({ ModelBreakdown: () => ({ rows: [], total: 0, other: null }) });
  const { unmount } = show(<ModelBars />);
  expect(await screen.findByText("No models in this range")).toBeVisible();
  unmount();
  gateway.handlers.ModelBreakdown = () => {
    throw new DatabaseDown("away");
  };
  show(<ModelBars />);
  expect(await screen.findByText("Could not load models")).toBeVisible();
});

test("the table sorts both ways, unknown last", async () => {
  fakeGateway({ ModelBreakdown: two });
  show(<ModelTable />);
  const first = () => screen.getAllByRole("rowheader")[0]?.textContent;
  expect(await screen.findByRole("columnheader", { name: /Requests/ })).toHaveAttribute(
    "aria-sort",
    "descending",
  );
  expect(first()).toBe("qwen3-8b");
  await userEvent.click(screen.getByRole("button", { name: /Requests/ }));
  expect(first()).toBe("embed");
  await userEvent.click(screen.getByRole("button", { name: /Decode/ }));
  await userEvent.click(screen.getByRole("button", { name: /Decode/ }));
  expect(screen.getByRole("columnheader", { name: /Decode/ })).toHaveAttribute("aria-sort", "ascending");
  expect(first()).toBe("qwen3-8b");
});

test("models beyond the limit are one row with their number, at the end", async () => {
  const other = modelRow({
    model: "",
    requests: 9_000,
    promptTokens: 123_000,
    completionTokens: 0,
    lastSeenAt: null,
  });
  const many = () => ({ ...two(), total: 100_000, other });
  fakeGateway({ ModelBreakdown: many });
  const { unmount } = show(<ModelBars />);
  expect(await screen.findByRole("row", { name: /^99,998 others/ })).toHaveTextContent("123k");
  unmount();
  show(<ModelTable />);
  const rows = await screen.findAllByRole("row");
  expect(rows.at(-1)).toHaveTextContent(/^99,998 others/);
});

test("requests that call no model are a row of their own and no unnamed model", async () => {
  const other = modelRow({ model: "", requests: 7, totalTokens: 0, lastSeenAt: null });
  fakeGateway({ ModelBreakdown: () => ({ ...two(), other }) });
  const { unmount } = show(<ModelBars />);
  expect(await screen.findByRole("row", { name: /^no model/ })).toHaveTextContent("7");
  unmount();
  show(<ModelTable />);
  expect((await screen.findAllByRole("row")).at(-1)).toHaveTextContent(/^no model/);
  expect(screen.queryByText("unnamed")).toBeNull();
});

test("the way to all models keeps the range and the filters", async () => {
  fakeGateway({ ModelBreakdown: two });
  show(<ModelBars />, "/?from=-7d&client=9f");
  expect(await screen.findByRole("link", { name: "Compare models" })).toHaveAttribute(
    "href",
    "/models?from=-7d&client=9f",
  );
});

test("tokens of a model are its prompt and completion, at least where some were not reported", async () => {
  const row = modelRow({
    promptTokens: 30,
    completionTokens: 12,
    totalTokens: 9_999,
    requestsWithoutUsage: 1,
  });
  fakeGateway({ ModelBreakdown: () => ({ rows: [row], total: 1, other: null }) });
  show(<ModelBars />);
  expect(await screen.findByTitle("42")).toHaveTextContent("≥ 42");
});

test("a percentile of few requests says so", async () => {
  fakeGateway({ ModelBreakdown: () => ({ rows: [modelRow({ requests: 4 })], total: 1, other: null }) });
  show(<ModelTable />);
  expect(await screen.findByTitle("Of 4 values only: too few to rely on")).toHaveTextContent("950 ms");
});

test("costs are columns once one is known, and one that is not is a dash", async () => {
  const gateway = fakeGateway({ ModelBreakdown: two });
  const { unmount } = show(<ModelTable />);
  await screen.findByRole("row", { name: /embed/ });
  expect(screen.queryByRole("columnheader", { name: "Cost" })).toBeNull();
  unmount();
  const priced = modelRow({
    model: "gpt-5",
    cost: cost({ nanoUsd: 4_200_000, knownRequests: 9, unknownRequests: 1, cacheSavingNanoUsd: -1_000_000 }),
  });
  gateway.handlers.ModelBreakdown = () => ({ rows: [modelRow(), priced], total: 2, other: null });
  show(<ModelTable />);
  const row = await screen.findByRole("row", { name: /gpt-5/ });
  expect(within(row).getByText("≥ $0.0042")).toBeVisible();
  expect(within(row).getByText("-$0.001")).toBeVisible();
  const local = screen.getByRole("row", { name: /qwen3-8b/ });
  expect(within(local).getByTitle(/^The cost is unknown.*MODASH_PRICES_FILE/)).toHaveTextContent("–");
});
