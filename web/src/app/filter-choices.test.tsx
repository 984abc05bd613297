import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { modelRow, timeseries } from "../testing/fixtures.ts";
import { type FakeGateway, fakeGateway } from "../testing/gateway.ts";
import { show } from "../testing/render.tsx";
import FilterChoices from "./filter-choices.tsx";
import { FilterChips } from "./filters.tsx";

let gateway: FakeGateway;

beforeEach(() => {
  const series = (key: string, requests: number) => ({
    ...timeseries({ requests: [requests, 1] }).series[0],
    key,
  });
  gateway = fakeGateway({
    ModelBreakdown: () => ({
      rows: [modelRow({ model: "qwen3-8b" }), modelRow({ model: "gpt-oss" })],
      total: 2,
      other: null,
    }),
    UsageTimeseries: (payload) => {
      const { tag } = (payload.groupBy ?? {}) as { tag?: string };
      const keys = tag === "team" ? ["search", "chat"] : ["u1", "u2"];
      const all = keys.map((key, at) => series(key, at + 1)) as ReturnType<typeof timeseries>["series"];
      return { ...timeseries(), series: all };
    },
  });
});

const open = (url = "/") =>
  show(
    <>
      <FilterChips />
      <FilterChoices />
    </>,
    url,
  );
const search = () => new URLSearchParams(location.search);

test("a model is taken, excluded in place of that, and left alone again", async () => {
  open();
  await userEvent.click(await screen.findByRole("checkbox", { name: "gpt-oss" }));
  expect(location.search).toBe("?model=gpt-oss");
  await userEvent.click(screen.getByRole("button", { name: "not gpt-oss" }));
  expect(location.search).toBe("?not.model=gpt-oss");
  expect(screen.getByRole("checkbox", { name: "gpt-oss" })).not.toBeChecked();
  await userEvent.click(screen.getByRole("button", { name: "not gpt-oss" }));
  expect(location.search).toBe("");
});

test("what is typed is searched, and Enter takes what is not listed as it is", async () => {
  open();
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Filter by" }), "user");
  expect(await screen.findByRole("checkbox", { name: "u2" })).toBeVisible();
  const field = screen.getByRole("searchbox", { name: "Search by user" });
  await userEvent.type(field, "2{Enter}");
  expect(search().get("user")).toBe("u2");
  await userEvent.clear(field);
  await userEvent.type(field, "someone else{Enter}");
  expect(search().get("user")).toBe("u2,someone else");
  expect(gateway.asked.filter(({ tag }) => tag === "UsageTimeseries")).toHaveLength(1);
});

test("the values of a tag are those of its name, and a second one replaces the first", async () => {
  open();
  await userEvent.selectOptions(screen.getByRole("combobox", { name: "Filter by" }), "tag");
  await userEvent.type(screen.getByRole("searchbox"), "team:");
  await userEvent.click(await screen.findByRole("checkbox", { name: "team:search" }));
  await userEvent.click(screen.getByRole("checkbox", { name: "team:chat" }));
  expect(search().get("tag")).toBe("team:chat");
});

test("a chip turns its filter over and back", async () => {
  open("/?status=error&not.status=cancelled&stream=yes");
  await userEvent.click(screen.getByRole("button", { name: "status is" }));
  expect(search().get("not.status")).toBe("cancelled,error");
  expect(search().has("status")).toBe(false);
  await userEvent.click(screen.getByRole("button", { name: "streamed is" }));
  expect(search().get("stream")).toBe("no");
  await userEvent.click(screen.getByRole("button", { name: "status is not" }));
  expect(search().get("status")).toBe("cancelled,error");
  await userEvent.click(screen.getByRole("button", { name: "Remove the filter on streamed" }));
  expect(search().has("stream")).toBe(false);
});

test("the length of prompts has two ends, either may be open", async () => {
  open();
  await userEvent.type(screen.getByRole("textbox", { name: "Prompt tokens, at least" }), "1000x");
  expect(search().get("prompt")).toBe("1000-");
  await userEvent.type(screen.getByRole("textbox", { name: "Prompt tokens, at most" }), "2000");
  expect(search().get("prompt")).toBe("1000-2000");
  await userEvent.clear(screen.getByRole("textbox", { name: "Prompt tokens, at least" }));
  expect(search().get("prompt")).toBe("-2000");
});
