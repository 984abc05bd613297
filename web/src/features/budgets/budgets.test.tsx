import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import type { Budget } from "../../api/types.ts";
import { budget, budgetNotice } from "../../testing/fixtures.ts";
import { fakeGateway } from "../../testing/gateway.ts";
import { show } from "../../testing/render.tsx";
import { Budgets } from "./budgets.tsx";

const reader = { name: "ada", sees: "everything", writes: false };

test("a budget says what is spent, of how much, and what is projected", async () => {
  fakeGateway({ ListBudgets: () => ({ budgets: [budget()] }) });
  show(<Budgets />);
  const item = await screen.findByRole("region", { name: "team" });
  expect(item).toHaveTextContent("$40.00 of $100 · 40 %");
  expect(item).toHaveTextContent("$80.00 projected by Dec 1, 00:00:00");
  expect(item).toHaveTextContent("month, Europe/Berlin · models: m · not users: u");
  expect(within(item).getByRole("progressbar", { name: "Used" })).toHaveValue(0.4);
});

test("an unknown amount is a lower bound, and a notice that was not delivered says why", async () => {
  const state = { ...budget().state, unknownRequests: 1_234 } as NonNullable<Budget["state"]>;
  const given = { nextAttemptAt: null, attempts: 20, share: 80, noticeId: "b" };
  const notices = [budgetNotice(), budgetNotice(given), budgetNotice({ deliveredAt: 1, noticeId: "c" })];
  fakeGateway({ ListBudgets: () => ({ budgets: [budget({ state, notices })] }) });
  show(<Budgets />);
  const item = await screen.findByRole("region", { name: "team" });
  expect(item).toHaveTextContent("≥ $40.00 of $100 · ≥ 40 %");
  expect(item).toHaveTextContent("≥ $80.00 projected by");
  expect(item).toHaveTextContent("1,234 requests of unknown amount");
  expect(
    within(item)
      .getAllByText(/^Notice of/)
      .map((text) => text.textContent),
  ).toEqual([
    "Notice of 50 % not yet delivered, 3 attempts: status 500",
    "Notice of 80 % given up, 20 attempts: status 500",
  ]);
});

test("readers see budgets and change none; without one they see nothing", async () => {
  const gateway = fakeGateway({ ListBudgets: () => ({ budgets: [budget()] }) });
  gateway.session = reader;
  const shown = show(<Budgets />);
  expect(await screen.findByText("team")).toBeVisible();
  expect(screen.queryByRole("button")).toBeNull();
  shown.unmount();
  gateway.handlers.ListBudgets = () => ({ budgets: [] });
  const { container } = show(<Budgets />);
  await vi.waitFor(() => expect(gateway.asked.length).toBe(2));
  expect(container).toBeEmptyDOMElement();
});

test("a budget is added from the filter of the page", async () => {
  const gateway = fakeGateway({
    ListBudgets: () => ({ budgets: [] }),
    SaveBudget: () => ({ budget: budget() }),
  });
  show(<Budgets />, "/breakdown?model=m&tz=Europe%2FBerlin");
  await userEvent.click(await screen.findByRole("button", { name: "Add a budget" }));
  await userEvent.type(screen.getByLabelText("Name"), "team");
  await userEvent.type(screen.getByLabelText("Amount"), "12.5");
  await userEvent.selectOptions(screen.getByLabelText("Period"), "per week");
  await userEvent.click(screen.getByRole("button", { name: "Save" }));
  await vi.waitFor(() => expect(screen.queryByLabelText("Name")).toBeNull());
  expect(gateway.asked.find(({ tag }) => tag === "SaveBudget")?.payload).toMatchObject({
    name: "team",
    nanoUsd: 12_500_000_000,
    calendar: "CALENDAR_PERIOD_WEEK",
    timeZone: "Europe/Berlin",
    filter: { models: ["m"] },
  });
});

test("a changed budget keeps its filter, shares and webhook; what is refused is told", async () => {
  const gateway = fakeGateway({
    ListBudgets: () => ({ budgets: [budget()] }),
    SaveBudget: () => {
      throw new Error("name: must not be the name of another budget");
    },
    DeleteBudget: () => ({}),
  });
  show(<Budgets />, "/breakdown?model=other");
  await userEvent.click(await screen.findByRole("button", { name: "Edit team" }));
  await userEvent.click(screen.getByRole("button", { name: "Save" }));
  expect(await screen.findByRole("alert")).toHaveTextContent("another budget");
  const { payload } = gateway.asked.find(({ tag }) => tag === "SaveBudget") ?? {};
  expect(payload).toMatchObject({
    budgetId: "a",
    nanoUsd: 100_000_000_000,
    shares: [50, 80],
    filter: { models: ["m"] },
  });
  expect(payload).not.toHaveProperty("webhookUrl");
  await userEvent.click(screen.getByRole("button", { name: "Delete" }));
  await vi.waitFor(() => expect(screen.queryByLabelText("Name")).toBeNull());
  expect(gateway.asked.find(({ tag }) => tag === "DeleteBudget")?.payload).toEqual({ budgetId: "a" });
});
