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

test("a rolling window, shares and a webhook are saved; the secret is not shown", async () => {
  const gateway = fakeGateway({
    ListBudgets: () => ({ budgets: [] }),
    SaveBudget: () => ({ budget: budget() }),
  });
  show(<Budgets />, "/breakdown");
  await userEvent.click(await screen.findByRole("button", { name: "Add a budget" }));
  await userEvent.type(screen.getByLabelText("Name"), "team");
  await userEvent.type(screen.getByLabelText("Amount"), "1000");
  await userEvent.selectOptions(screen.getByLabelText("Unit"), "tokens");
  expect(screen.queryByLabelText("Window in hours")).toBeNull();
  await userEvent.selectOptions(screen.getByLabelText("Period"), "rolling window");
  await userEvent.clear(screen.getByLabelText("Window in hours"));
  await userEvent.type(screen.getByLabelText("Window in hours"), "1.5");
  await userEvent.type(screen.getByLabelText("Notices at, %"), "100 %, 25; 80");
  await userEvent.type(screen.getByLabelText("Webhook"), "https://hooks.example.com/a");
  expect(screen.getByLabelText("Webhook secret")).toHaveAttribute("type", "password");
  await userEvent.type(screen.getByLabelText("Webhook secret"), "whsec_c2VjcmV0");
  expect(screen.queryByLabelText("Remove the webhook")).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Save" }));
  await vi.waitFor(() => expect(screen.queryByLabelText("Name")).toBeNull());
  const { payload } = gateway.asked.find(({ tag }) => tag === "SaveBudget") ?? {};
  expect(payload).toMatchObject({
    tokens: 1_000,
    rolling: 5_400_000,
    shares: [100, 25, 80],
    webhookUrl: "https://hooks.example.com/a",
    webhookSecret: "whsec_c2VjcmV0",
  });
  expect(payload).not.toHaveProperty("calendar");
});

test("a budget over a rolling window is changed; its webhook stays or is removed", async () => {
  const rolling = budget({
    calendar: null,
    rolling: 48 * 3_600_000,
    webhookOrigin: "https://hooks.example.com",
  });
  const gateway = fakeGateway({
    ListBudgets: () => ({ budgets: [rolling] }),
    SaveBudget: () => ({ budget: rolling }),
  });
  show(<Budgets />, "/breakdown");
  const item = await screen.findByRole("region", { name: "team" });
  expect(item).toHaveTextContent("Notices at 50, 80 % go to https://hooks.example.com");
  const saved = async () => {
    const before = gateway.asked.length;
    await userEvent.click(screen.getByRole("button", { name: "Save" }));
    await vi.waitFor(() => expect(screen.queryByLabelText("Name")).toBeNull());
    return gateway.asked.slice(before).find(({ tag }) => tag === "SaveBudget")?.payload;
  };
  const edit = async () => userEvent.click(await screen.findByRole("button", { name: "Edit team" }));
  await edit();
  expect(screen.getByLabelText("Window in hours")).toHaveValue(48);
  expect(screen.getByLabelText("Webhook")).toHaveValue("");
  expect(screen.getByLabelText("Webhook secret")).toHaveValue("");
  const kept = await saved();
  expect(kept).toMatchObject({ rolling: 48 * 3_600_000, shares: [50, 80] });
  expect(kept).not.toHaveProperty("webhookUrl");
  expect(kept).not.toHaveProperty("webhookSecret");
  await edit();
  await userEvent.type(screen.getByLabelText("Webhook secret"), "whsec_new");
  await userEvent.click(screen.getByLabelText("Remove the webhook"));
  expect(screen.getByLabelText("Webhook")).toBeDisabled();
  const removed = await saved();
  expect(removed).toMatchObject({ webhookUrl: "" });
  expect(removed).not.toHaveProperty("webhookSecret");
});

test("what the server refuses stands at the field, what belongs to none below", async () => {
  const refusals = [
    "name: must not be empty; nano_usd: must be from 1 to 5; shares: must be at most 10 percentages from 1 to 1000; webhook_url: must be an address; webhook_secret: must be given with the first webhook; filter: too long",
    "rolling: must be from 1 h to 366 days, in whole seconds",
    "100 budgets are saved, which is the most: delete one",
  ];
  fakeGateway({
    ListBudgets: () => ({ budgets: [budget({ calendar: null, rolling: 1 })] }),
    SaveBudget: () => {
      throw new Error(refusals.shift());
    },
  });
  show(<Budgets />, "/breakdown");
  await userEvent.click(await screen.findByRole("button", { name: "Edit team" }));
  const save = () => userEvent.click(screen.getByRole("button", { name: "Save" }));
  await save();
  await screen.findByText("must not be empty");
  for (const [label, problem] of [
    ["Name", "must not be empty"],
    ["Amount", "must be from 1 to 5"],
    ["Notices at, %", "must be at most 10 percentages from 1 to 1000"],
    ["Webhook", "must be an address"],
    ["Webhook secret", "must be given with the first webhook"],
  ] as const) {
    expect(screen.getByLabelText(label)).toHaveAccessibleDescription(problem);
    expect(screen.getByLabelText(label)).toBeInvalid();
  }
  expect(screen.getByText("filter: too long")).toBeVisible();
  await save();
  await screen.findByText(/^must be from 1 h/);
  expect(screen.getByLabelText("Window in hours")).toHaveAccessibleDescription(/^must be from 1 h/);
  expect(screen.getByLabelText("Name")).toBeValid();
  await save();
  expect(await screen.findByRole("alert")).toHaveTextContent("100 budgets are saved");
});
