import { afterEach, expect, test, vi } from "vitest";
import { rpc } from "./rpc.ts";
import { browser, session, signOut } from "./session.ts";

const answering = (status: number, body: unknown) => {
  const fetch = vi.fn(async (_path: string, _init?: RequestInit) =>
    status === 204 ? new Response(null, { status }) : new Response(JSON.stringify(body), { status }),
  );
  vi.stubGlobal("fetch", fetch);
  return fetch;
};
const going = () => vi.spyOn(browser, "go").mockImplementation(() => {});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

test("who is signed in has a name and a view; without tokens there is nobody", async () => {
  answering(200, { name: "search team", sees: "tag:team=search", writes: false });
  expect(await session()).toEqual({ name: "search team", sees: "tag:team=search", writes: false });
  answering(200, { open: true });
  expect(await session()).toBeNull();
});

test("a session that ended leads to the page where one signs in, and from there back", async () => {
  history.replaceState(null, "", "/requests?range=1h");
  const go = going();
  answering(401, [{ _tag: "Defect", defect: "a token is needed" }]);
  await expect(rpc("UsageSummary", {})).rejects.toThrow();
  expect(go).toHaveBeenCalledWith("/sign-in?to=%2Frequests%3Frange%3D1h");
  go.mockClear();
  answering(401, { message: "a token is needed" });
  expect(await session()).toBeNull();
  expect(go).toHaveBeenCalledWith("/sign-in?to=%2Frequests%3Frange%3D1h");
});

test("what is refused while one signs out leads nowhere", async () => {
  const go = going();
  let signedOut = (_: Response) => {};
  const fetch = vi.fn((path: string) =>
    path === "/session"
      ? new Promise<Response>((answer) => (signedOut = answer))
      : Promise.resolve(new Response("[]", { status: 401 })),
  );
  vi.stubGlobal("fetch", fetch);
  const done = signOut();
  await expect(rpc("UsageSummary", {})).rejects.toThrow();
  expect(go).not.toHaveBeenCalled();
  signedOut(new Response(null, { status: 204 }));
  expect(await done).toBe(true);
  await expect(rpc("UsageSummary", {})).rejects.toThrow();
  expect(go.mock.calls).toEqual([["/sign-in"]]);
});

test("signing out sends a header that forms cannot send, and leaves the page", async () => {
  const go = going();
  const fetch = answering(204, null);
  expect(await signOut()).toBe(true);
  const [path, init] = fetch.mock.calls[0] ?? [];
  expect([path, init?.method, new Headers(init?.headers).get("x-modash-request")]).toEqual([
    "/session",
    "DELETE",
    "1",
  ]);
  expect(go).toHaveBeenCalledWith("/sign-in");
  go.mockClear();
  answering(403, {});
  expect(await signOut()).toBe(false);
  expect(go).not.toHaveBeenCalled();
});
