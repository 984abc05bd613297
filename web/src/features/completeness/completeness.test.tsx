import { screen, within } from "@testing-library/react";
import { expect, test } from "vitest";
import type { ReplicaCompleteness } from "../../api/types.ts";
import { NOON, replica } from "../../testing/fixtures.ts";
import { DatabaseDown, fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { Completeness } from "./completeness.tsx";

const answer = (...replicas: ReplicaCompleteness[]) =>
  fakeGateway({ Completeness: () => ({ now: NOON, replicas }) });

test("a replica whose numbers add up is complete, and says so", async () => {
  answer(replica());
  show(<Completeness />);
  const row = await screen.findByRole("row", { name: /proxy-1/ });
  expect(within(row).getByText("Complete")).toBeVisible();
  expect(within(row).getAllByText("1,200").length).toBeGreaterThan(1);
  expect(screen.getByRole("heading", { name: /nothing lost/ })).toBeVisible();
});

test("what was dropped before the last start counts too, and is a fault", async () => {
  answer(
    replica(),
    replica({ replicaId: "proxy-2", state: "COMPLETENESS_STATE_LOSSY", droppedBefore: 7, missing: 2 }),
  );
  show(<Completeness />);
  const row = await screen.findByRole("row", { name: /proxy-2/ });
  expect(within(row).getByText("7")).toBeVisible();
  expect(within(row).getByTitle(/2 acknowledged but not stored/)).toBeVisible();
  expect(screen.getByRole("heading", { name: /missing from 1 of 2/ })).toBeVisible();
});

test("events that wait show for how long", async () => {
  const base = replica();
  const reported = base.reported && { ...base.reported, spooled: 40, oldestUnsentAt: NOON - 90_000 };
  answer(replica({ state: "COMPLETENESS_STATE_WAITING", reported }));
  show(<Completeness />);
  const row = await screen.findByRole("row", { name: /proxy-1/ });
  expect(within(row).getByText("1 m 30 s")).toBeVisible();
  expect(within(row).getByText("40")).toBeVisible();
});

test("no proxies and errors are told apart", async () => {
  const gateway = answer();
  const { unmount } = show(<Completeness />);
  expect(await screen.findByText("No proxy has reported yet")).toBeVisible();
  unmount();
  gateway.handlers.Completeness = () => {
    throw new DatabaseDown("away");
  };
  show(<Completeness />);
  expect(await screen.findByText("Could not load delivery")).toBeVisible();
});

test("no more is committed than has finished, though commits are counted before the next report", async () => {
  const base = replica();
  const reported = base.reported && { ...base.reported, started: 31, finished: 30 };
  answer(replica({ reported, committed: 32 }));
  show(<Completeness />);
  const row = await screen.findByRole("row", { name: /proxy-1/ });
  expect(within(row).getAllByText("32")).toHaveLength(3);
  expect(within(row).queryByText("30")).toBeNull();
});
