import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import type { UsageTimeseries } from "../../api/types.ts";
import { timeseries } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { heat } from "./heat.ts";
import { HeatMap } from "./heat-map.tsx";

const HOUR = 3_600_000;
const [SUNDAY, MONDAY] = [6, 0];

/** One request in each hour from `start`. */
function hourly(start: number, hours: number): UsageTimeseries {
  const starts = Array.from({ length: hours }, (_, at) => start + at * HOUR);
  const column = (value: number) => starts.map(() => value);
  const data = timeseries({
    requests: column(1),
    promptTokens: column(30),
    cachedPromptTokens: column(0),
    completionTokens: column(12),
  });
  return { ...data, bucketSeconds: 3_600, bucketStarts: starts };
}

const cellsOf = (data: UsageTimeseries, zone: string, asked = whole(data)) => {
  const cells = heat(data, "requests", asked, zone);
  return (day: number, hour: number) => {
    const cell = cells.find((one) => one.day === day && one.hour === hour);
    if (!cell) throw new Error("a cell");
    return cell;
  };
};
const whole = ({ bucketStarts }: UsageTimeseries) => ({
  start: bucketStarts[0] ?? 0,
  end: (bucketStarts.at(-1) ?? 0) + HOUR,
});

test("an hour that clocks repeat counts as two, so that it is no peak", () => {
  const cell = cellsOf(hourly(Date.UTC(2026, 9, 24, 22), 25), "Europe/Berlin");
  expect(cell(SUNDAY, 2)).toMatchObject({ sum: 2, hours: 2, mean: 1 });
  expect(cell(SUNDAY, 23)).toMatchObject({ sum: 1, hours: 1 });
  expect(cell(MONDAY, 0).mean).toBeNull();
});

test("an hour that clocks skip is not in the range, and not 0", () => {
  const cell = cellsOf(hourly(Date.UTC(2026, 2, 28, 23), 23), "Europe/Berlin");
  expect(cell(SUNDAY, 2)).toMatchObject({ hours: 0, mean: null, last: null });
  expect(cell(SUNDAY, 3).mean).toBe(1);
});

test("hours of zones that are off by a part of an hour begin on their clocks", () => {
  const kathmandu = cellsOf(hourly(Date.UTC(2026, 10, 21, 18, 15), 24), "Asia/Kathmandu");
  for (let hour = 0; hour < 24; hour += 1) expect(kathmandu(SUNDAY, hour).sum).toBe(1);
  // Clocks went forward by half an hour at two in the morning of October 4.
  const lordHowe = cellsOf(hourly(Date.UTC(2026, 9, 3, 13, 30), 24), "Australia/Lord_Howe");
  expect(lordHowe(SUNDAY, 0).sum).toBe(1);
  expect(lordHowe(SUNDAY, 12).sum).toBe(1);
});

test("hours that the range covers in part count as that part", () => {
  const data = hourly(Date.UTC(2026, 10, 23, 14), 2);
  const asked = { start: Date.UTC(2026, 10, 23, 14, 30), end: Date.UTC(2026, 10, 23, 15, 15) };
  const cell = cellsOf(data, "UTC", asked);
  expect(cell(MONDAY, 14)).toMatchObject({ hours: 0.5, mean: 2 });
  expect(cell(MONDAY, 15)).toMatchObject({ hours: 0.25, mean: 4 });
});

test("the map is walked by arrow keys, and Enter opens the latest requests of an hour", async () => {
  const gateway = fakeGateway({ UsageTimeseries: () => hourly(Date.UTC(2026, 10, 16), 9 * 24) });
  show(<HeatMap />, "/throughput?from=2026-11-16T00:00:00Z&to=2026-11-25T00:00:00Z&tz=UTC&model=a");
  const first = await screen.findByRole("button", {
    name: /^Monday 00:00: 42 tokens an hour, mean of 2 hours/,
  });
  first.focus();
  await userEvent.keyboard("{ArrowUp}{ArrowLeft}{ArrowDown}{ArrowRight}");
  expect(screen.getByRole("button", { name: /^Tuesday 01:00/ })).toHaveFocus();
  expect(
    screen.getAllByRole("button").filter(({ tabIndex, dataset }) => dataset.cell && tabIndex === 0),
  ).toHaveLength(1);
  await userEvent.keyboard("{Enter}");
  expect(location.pathname).toBe("/requests");
  expect(Object.fromEntries(new URLSearchParams(location.search))).toMatchObject({
    from: "2026-11-24T01:00:00.000Z",
    to: "2026-11-24T02:00:00.000Z",
    model: "a",
  });
  expect(gateway.asked[0]?.payload).toMatchObject({ bucketSeconds: 3_600, timeZone: "UTC" });
});

test("of a long range the last 60 days are asked for, and it says so", async () => {
  const gateway = fakeGateway({ UsageTimeseries: () => hourly(Date.UTC(2026, 10, 16), 24) });
  show(<HeatMap />, "/throughput?from=2026-08-01T00:00:00Z&to=2026-11-25T00:00:00Z&tz=UTC&heat=requests");
  expect(await screen.findByText(/of the last 60 days of the range/)).toBeVisible();
  expect(gateway.asked[0]?.payload.range).toEqual({
    start: Date.UTC(2026, 8, 26),
    end: Date.UTC(2026, 10, 25),
  });
  expect(await screen.findByRole("button", { name: /^Monday 05:00: 1 request an hour/ })).toBeInTheDocument();
});

test("a range without requests has no map", async () => {
  fakeGateway({ UsageTimeseries: () => ({ ...timeseries(), series: [], bucketStarts: [] }) });
  show(<HeatMap />, "/throughput?heat=requests");
  expect(await screen.findByText("No requests in this range")).toBeVisible();
});
