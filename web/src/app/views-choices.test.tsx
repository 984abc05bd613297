import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";
import type { Mark } from "../api/types.ts";
import { NOON } from "../testing/fixtures.ts";
import { type FakeGateway, fakeGateway } from "../testing/gateway.ts";
import { show } from "../testing/render.tsx";
import ViewsChoices from "./views-choices.tsx";

let gateway: FakeGateway;
const mark: Mark = { markId: "1", markedAt: NOON, text: "v2.4", link: "https://ci.example/1182" };

beforeEach(() => {
  const views = new Map([["Errors", { name: "Errors", path: "/requests?status=error", savedAt: NOON }]]);
  const marks = [mark];
  gateway = fakeGateway({
    ListViews: () => ({ views: [...views.values()] }),
    SaveView: ({ name = "", path = "" }) => {
      if (name === "full") throw new Error("100 views are saved, which is the most: delete one first");
      const view = { name, path, savedAt: NOON };
      views.set(name, view);
      return { view };
    },
    DeleteView: ({ name = "" }) => {
      views.delete(name);
      return {};
    },
    ListMarks: () => ({ marks: [...marks] }),
    AddMark: ({ text = "" }) => {
      marks.push({ ...mark, markId: text, text, link: "" });
      return { mark };
    },
    DeleteMark: () => {
      marks.pop();
      return {};
    },
  });
});

const region = (name: string) => within(screen.getByRole("region", { name }));

test("a view leads to its page, is saved with what is shown now, and deleted", async () => {
  const done = vi.fn();
  show(<ViewsChoices onDone={done} />, "/models?from=-7d&not.model=a&page=3&via=grpc-web");
  expect(await screen.findByRole("link", { name: "Errors" })).toHaveAttribute(
    "href",
    "/requests?status=error",
  );
  await userEvent.type(await screen.findByRole("textbox", { name: "Name of this view" }), "Week{Enter}");
  expect(await screen.findByRole("link", { name: "Week" })).toHaveAttribute(
    "href",
    "/models?from=-7d&not.model=a",
  );
  expect(screen.getByRole("textbox", { name: "Name of this view" })).toHaveValue("");
  await userEvent.click(screen.getByRole("button", { name: "Delete the view Errors" }));
  await vi.waitFor(() => expect(screen.queryByRole("link", { name: "Errors" })).toBeNull());
  await userEvent.click(screen.getByRole("link", { name: "Week" }));
  expect(done).toHaveBeenCalled();
});

test("a mark is set now, linked and deleted", async () => {
  show(<ViewsChoices onDone={() => {}} />);
  const marks = region("Marks");
  expect(await marks.findByRole("link", { name: "v2.4" })).toHaveAttribute("href", mark.link);
  await userEvent.type(await marks.findByRole("textbox"), "v2.5{Enter}");
  await userEvent.click(await marks.findByRole("button", { name: "Delete the mark v2.5" }));
  await vi.waitFor(() => expect(marks.queryByText("v2.5")).toBeNull());
});

test("what is refused says why and keeps what was typed", async () => {
  show(<ViewsChoices onDone={() => {}} />);
  await userEvent.type(await screen.findByRole("textbox", { name: "Name of this view" }), "full{Enter}");
  expect(await screen.findByRole("alert")).toHaveTextContent("delete one first");
  expect(screen.getByRole("textbox", { name: "Name of this view" })).toHaveValue("full");
});

test("who only reads is offered nothing to write", async () => {
  gateway.session = { name: "reader", sees: "everything", writes: false };
  show(<ViewsChoices onDone={() => {}} />);
  await screen.findByRole("link", { name: "Errors" });
  await screen.findByRole("link", { name: "v2.4" });
  expect(screen.queryByRole("textbox")).toBeNull();
  expect(screen.queryByRole("button")).toBeNull();
});
