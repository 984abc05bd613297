import { afterEach, expect, test, vi } from "vitest";
import { RpcError, rpc } from "./rpc.ts";

/** A gateway that answers each call with these frames; `$id` stands for the call's id. */
function answering(body: string, status = 200) {
  const fetch = vi.fn(async (_: string, request: RequestInit) => {
    const { id } = JSON.parse(String(request.body));
    return new Response(body.replaceAll("$id", id), { status });
  });
  vi.stubGlobal("fetch", fetch);
  return fetch;
}
const failure = async (call: Promise<unknown>): Promise<RpcError> => {
  const error = await call.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(RpcError);
  return error as RpcError;
};
afterEach(() => vi.unstubAllGlobals());

test("a call is one Request frame with an id of decimal digits", async () => {
  const fetch = answering(
    '[{"_tag":"Exit","requestId":"$id","exit":{"_tag":"Success","value":{"requests":3}}}]',
  );
  await expect(rpc("UsageSummary", { timeZone: "UTC" })).resolves.toEqual({ requests: 3 });
  const [path, request] = fetch.mock.calls[0] ?? [];
  expect(path).toBe("/rpc");
  expect(request?.method).toBe("POST");
  expect(new Headers(request?.headers).get("content-type")).toBe("application/json");
  const { id, ...frame } = JSON.parse(String(request?.body));
  expect(id).toMatch(/^\d+$/);
  expect(frame).toEqual({ _tag: "Request", tag: "UsageSummary", payload: { timeZone: "UTC" }, headers: [] });
});

test("each call has an id of its own", async () => {
  const fetch = answering('[{"_tag":"Exit","requestId":"$id","exit":{"_tag":"Success","value":{}}}]');
  await Promise.all([rpc("UsageSummary", {}), rpc("UsageSummary", {})]);
  const ids = fetch.mock.calls.map(([, request]) => JSON.parse(String(request.body)).id);
  expect(new Set(ids).size).toBe(2);
});

test("the answer to another call is not taken", async () => {
  answering('[{"_tag":"Exit","requestId":"other","exit":{"_tag":"Success","value":{"requests":3}}}]');
  expect((await failure(rpc("UsageSummary", {}))).kind).toBe("transport");
});

test("a DatabaseError is unavailable data, in the gateway's words", async () => {
  answering(
    '[{"_tag":"Exit","requestId":"$id","exit":{"_tag":"Failure","cause":{"_tag":"Fail","error":{"_tag":"DatabaseError","message":"database is locked"}}}}]',
  );
  expect(await failure(rpc("UsageSummary", {}))).toMatchObject({
    kind: "database",
    message: "database is locked",
  });
});

test("a refused payload says what was refused", async () => {
  answering(
    '[{"_tag":"Exit","requestId":"$id","exit":{"_tag":"Failure","cause":{"_tag":"Die","defect":"page must be >= 1"}}}]',
  );
  expect(await failure(rpc("RecentRequests", { page: 0, pageSize: 10 }))).toMatchObject({
    kind: "refused",
    message: "page must be >= 1",
  });
});

test.each([
  ['[{"_tag":"Defect","defect":"Unknown request tag: Nope"}]', "Unknown request tag: Nope"],
  ['[{"_tag":"Defect","defect":{"name":"Error","message":"kaboom"}}]', "kaboom"],
])("a Defect ends the call: %s", async (body, message) => {
  answering(body);
  expect(await failure(rpc("UsageSummary", {}))).toMatchObject({ kind: "refused", message });
});

test.each([
  ["[]", 200],
  ["{}", 200],
  ["<html>", 200],
  ["", 502],
])("an unusable answer is a failed transport: %s", async (body, status) => {
  answering(body, status);
  expect((await failure(rpc("UsageSummary", {}))).kind).toBe("transport");
});

test("an HTTP error names its status", async () => {
  answering("bad gateway", 502);
  expect((await failure(rpc("UsageSummary", {}))).message).toContain("502");
});

test("an unreachable gateway is a failed transport", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  expect((await failure(rpc("UsageSummary", {}))).kind).toBe("transport");
});

test("an aborted call throws the signal's reason and is no failure", async () => {
  const stop = new AbortController();
  vi.stubGlobal("fetch", () => Promise.reject(new DOMException("aborted", "AbortError")));
  stop.abort("enough");
  await expect(rpc("UsageSummary", {}, stop.signal)).rejects.toBe("enough");
});
