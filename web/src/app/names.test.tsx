// Names of client keys, users and tags, wherever these are shown.
import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { BreakdownTable } from "../features/breakdown/breakdown-table.tsx";
import { RecentRequests } from "../features/recent-requests/recent-requests.tsx";
import { RequestDrawer } from "../features/recent-requests/request-drawer.tsx";
import { UsageChart } from "../features/usage-timeseries/usage-chart.tsx";
import { NamesProvider } from "../lib/names.tsx";
import { catchDownloads, openPopover } from "../testing/browser.ts";
import { breakdownRow, event, idAt, NOON, page, timeseries } from "../testing/fixtures.ts";
import { type FakeGateway, fakeGateway } from "../testing/gateway.ts";
import { show } from "../testing/render.tsx";
import FilterChoices from "./filter-choices.tsx";
import { FilterChips } from "./filters.tsx";

const KEY = "9f2c41aa07be6d13";
let gateway: FakeGateway;
let files: Map<string, Promise<string>>;

beforeEach(() => {
  files = catchDownloads();
  const series = [KEY, "41d0b7e2c95a8f66"].flatMap((key) => ({ ...timeseries().series[0], key }));
  gateway = fakeGateway({
    ListNames: () => ({
      names: [
        { kind: "NAMED_KIND_CLIENT_KEY", id: KEY, name: "CI" },
        { kind: "NAMED_KIND_CLIENT_KEY", id: "0be57712fa9c3e84", name: "CI of old" },
        { kind: "NAMED_KIND_USER", id: "ada", name: "Ada Lovelace" },
        { kind: "NAMED_KIND_TAG", id: "team=search", name: "Search team" },
      ],
    }),
    Breakdown: ({ groupBy }) => {
      const keys = groupBy && "tag" in groupBy ? ["search"] : [KEY, "41d0b7e2c95a8f66"];
      const rows = keys.map((key) => breakdownRow({ key }));
      return { rows, total: rows.length, other: null, page: 1, pageSize: 50 };
    },
    RecentRequests: () =>
      page([event({ user: "ada", tags: { team: "search" } }), event({ clientKey: null, startedAt: 2 })]),
    UsageTimeseries: () => ({ ...timeseries(), series: series as ReturnType<typeof timeseries>["series"] }),
  });
});
const open = (part: React.ReactNode, url: string) => show(<NamesProvider>{part}</NamesProvider>, url);
const exported = async (what: string, kind: "CSV" | "JSON") => {
  files.clear();
  openPopover(await screen.findByRole("button", { name: `Export ${what}` }));
  await userEvent.click(await screen.findByRole("button", { name: kind, hidden: true }));
  return String((await Promise.all(files.values()))[0]);
};

test("a breakdown has the name with the key beside it, and exports both", async () => {
  open(<BreakdownTable />, "/breakdown");
  const row = await screen.findByRole("row", { name: /^CI 9f2c41aa07be6d13/ });
  expect(screen.getByRole("row", { name: /^41d0b7e2c95a8f66/ })).toBeVisible();
  expect(await exported("breakdown by client", "CSV")).toMatch(
    /^client,name,requests,.*\r\n9f2c41aa07be6d13,CI,100,.*\r\n41d0b7e2c95a8f66,,100,/,
  );
  await userEvent.click(within(row).getByRole("button", { name: "CI" }));
  expect(location.search).toBe(`?client=${KEY}`);
});

test("a tag's value has its name, and exports both", async () => {
  open(<BreakdownTable />, "/breakdown?by=tag:team");
  expect(await screen.findByRole("button", { name: "Search team" })).toBeVisible();
  const [row] = JSON.parse(await exported("breakdown by tag:team", "JSON"));
  expect(row).toMatchObject({ team: "search", name: "Search team" });
});

test("what has no names has no column for them", async () => {
  open(<BreakdownTable />, "/breakdown?by=upstream");
  expect(await exported("breakdown by upstream", "CSV")).toMatch(/^upstream,requests,/);
});

test("the list of requests shows the name, and exports key and name", async () => {
  open(<RecentRequests columns={["startedAt", "clientKey"]} />, "/requests");
  expect(await screen.findByRole("cell", { name: "CI" })).toHaveAttribute("title", KEY);
  expect(await exported("requests", "CSV")).toMatch(
    /^eventId,startedAt,clientKey,clientKeyName\r\n.*,9f2c41aa07be6d13,CI\r\n.*,,\r\n$/,
  );
});

test("an open request has key, user and tag by name, above what they are", async () => {
  open(<RequestDrawer id={idAt(NOON)} onClose={() => {}} />, "/requests");
  for (const [name, id] of [
    ["CI", KEY],
    ["Ada Lovelace", "ada"],
    ["Search team", "search"],
  ] as const) {
    expect((await screen.findByText(name)).nextElementSibling).toHaveTextContent(id);
  }
  await userEvent.click(screen.getByText("Search team"));
  expect(new URLSearchParams(location.search).get("tag")).toBe("team:search");
});

test("the lines of a chart have names, and the export the whole keys too", async () => {
  open(<UsageChart />, "/?group=client&metric=requests&compare=off");
  expect(await screen.findByRole("button", { name: "CI · 9f2c41aa" })).toHaveAttribute(
    "title",
    `Only CI (${KEY}); with Alt all but it`,
  );
  expect(await exported("requests over time", "CSV")).toMatch(
    /^start,end,wholeBucket,CI \(9f2c41aa07be6d13\),41d0b7e2c95a8f66,errors/,
  );
});

test("a filter is found by its name, in the range or not, and its chip has the name", async () => {
  open(
    <>
      <FilterChips />
      <FilterChoices />
    </>,
    "/",
  );
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Filter by" }), "client");
  expect(await screen.findByRole("checkbox", { name: `CI ${KEY}` })).toBeVisible();
  expect(screen.queryByRole("checkbox", { name: /^CI of old/ })).toBeNull();
  await userEvent.type(screen.getByRole("searchbox"), "of old");
  expect(screen.getAllByRole("checkbox", { name: /CI/ })).toHaveLength(1);
  await userEvent.keyboard("{Enter}");
  expect(location.search).toBe("?client=0be57712fa9c3e84");
  const chips = within(screen.getByRole("list", { name: "Filters in force" }));
  expect(chips.getByText("CI of old")).toHaveAttribute("title", "0be57712fa9c3e84");
  expect(gateway.asked.filter(({ tag }) => tag === "ListNames")).toHaveLength(1);
});
