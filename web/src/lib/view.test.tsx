import { act, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { expect, test } from "vitest";
import type { Outcome } from "../api/types.ts";
import {
  FILTER_KEYS,
  keptParams,
  liveFilter,
  modelPath,
  opposite,
  PauseContext,
  readView,
  statusOf,
  toFilter,
  useHref,
  useScope,
  useView,
} from "./view.ts";

const read = (search: string) => readView(new URLSearchParams(search));

test("an empty URL is the last day, live, of everything", () => {
  const view = read("");
  expect(view.span).toEqual({ from: "-24h", to: "now" });
  expect(toFilter(view.filters)).toEqual({});
});

test("filters of the URL are those of the contract", () => {
  expect(
    toFilter(read("model=a,b&status=cancelled&client=9f&upstream=openai&stream=no&trace=4bf9").filters),
  ).toEqual({
    models: ["a", "b"],
    outcomes: ["OUTCOME_CLIENT_CLOSED"],
    clientKeys: ["9f"],
    upstreams: ["openai"],
    stream: false,
    traceIds: ["4bf9"],
  });
});

test("what is excluded has the same values under the opposite key", () => {
  const search =
    "not.model=a,b&not.status=ok&not.tag=team:x&not.operation=embedding,odd&user=u&not.session=s";
  expect(toFilter(read(search).filters)).toEqual({
    users: ["u"],
    exclude: {
      models: ["a", "b"],
      outcomes: ["OUTCOME_OK"],
      tags: { team: "x" },
      operations: ["OPERATION_EMBEDDING"],
      sessions: ["s"],
    },
  });
  expect(FILTER_KEYS.map(opposite)).toContain("not.model");
  expect([opposite("not.tag"), opposite("tag"), opposite("stream")]).toEqual(["tag", "not.tag", undefined]);
});

test.each([
  ["1000-2000", { minPromptTokens: 1000, maxPromptTokens: 2000 }],
  ["1000-", { minPromptTokens: 1000 }],
  ["-2000", { maxPromptTokens: 2000 }],
  ["0-0", { minPromptTokens: 0, maxPromptTokens: 0 }],
  ["long", {}],
])("prompts of %s tokens", (text, filter) => {
  expect(toFilter(read(`prompt=${text}`).filters)).toEqual(filter);
});

test("a comma within a name survives the URL", () => {
  history.replaceState(null, "", "/?from=-1h&page=3");
  const href = renderHook(() => useHref()).result.current("/throughput", { model: ["odd,name%", "b"] });
  const { pathname, search } = new URL(href, "http://page");
  expect(pathname).toBe("/throughput");
  expect(read(search).filters.model).toEqual(["odd,name%", "b"]);
  expect(keptParams(search).get("from")).toBe("-1h");
  expect(search).not.toContain("page");
});

test("an unknown zone or status is ignored", () => {
  const view = read("tz=Mars/Olympus&status=odd");
  expect(view.zone).toBeUndefined();
  expect(toFilter(view.filters)).toEqual({});
});

test("one outcome alone is a status too", () => {
  expect(toFilter(read("status=http_error,cancelled").filters).outcomes).toEqual([
    "OUTCOME_HTTP_ERROR",
    "OUTCOME_CLIENT_CLOSED",
  ]);
  expect(
    ["OUTCOME_OK", "OUTCOME_CLIENT_CLOSED", "OUTCOME_EMPTY"].map((one) => statusOf(one as Outcome)),
  ).toEqual(["ok", "cancelled", "empty"]);
});

test("the page of a model is about it, whatever characters it has", () => {
  const model = "org/a b%2F,é";
  expect(readView(new URLSearchParams("model=x"), modelPath(model)).filters.model).toEqual([model]);
  expect(readView(new URLSearchParams("model=x"), "/models").filters.model).toEqual(["x"]);
  expect(readView(new URLSearchParams(), "/models/%E0%A4%A").model).toBeNull();
});

test("a changed view starts at its first page", () => {
  history.replaceState(null, "", "/?page=4");
  const { result } = renderHook(() => useView());
  act(() => result.current[1]({ model: ["a"] }));
  expect(location.search).toBe("?model=a");
});

test("a live range leaves its end to the server, a paused one keeps it", () => {
  const live = renderHook(() => useScope()).result.current;
  expect(live.range()).not.toHaveProperty("end");
  const wrapper = ({ children }: { children: ReactNode }) => (
    <PauseContext value={1_000_000}>{children}</PauseContext>
  );
  expect(renderHook(() => useScope(), { wrapper }).result.current.range().end).toBe(1_000_000);
});

test("running requests pass the same filters", () => {
  const passes = liveFilter(read("model=a&stream=yes").filters);
  const request = { model: "a", clientKey: null, upstream: "default", dialect: "openai-chat", stream: true };
  expect(passes(request)).toBe(true);
  expect(passes({ ...request, model: "b" })).toBe(false);
  expect(passes({ ...request, stream: false })).toBe(false);
  expect(liveFilter(read("trace=4bf9").filters)(request)).toBe(false);
  expect(liveFilter(read("not.model=a").filters)(request)).toBe(false);
  expect(liveFilter(read("not.model=b&not.client=k&not.user=u&not.status=ok").filters)(request)).toBe(true);
});
