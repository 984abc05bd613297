import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import type { Answer, Payload } from "../api/types.ts";
import { NamesProvider, useNames } from "../lib/names.tsx";
import { type FakeGateway, fakeGateway } from "../testing/gateway.ts";
import { show } from "../testing/render.tsx";
import { Rename } from "./rename.tsx";

type Given = Answer<"ListNames">["names"];

function Named({ by, value }: { by: string; value: string }) {
  return (
    <Rename by={by} value={value}>
      <b>{useNames().get(`${by} ${value}`) ?? value}</b>
    </Rename>
  );
}

function open(given: Given, refuse = ""): FakeGateway {
  const gateway = fakeGateway({
    ListNames: () => ({ names: given }),
    SetName: ({ kind = "NAMED_KIND_USER", id = "", name = "" }: Payload<"SetName">) => {
      if (refuse) throw new Error(refuse);
      given = given.filter((one) => one.id !== id);
      if (name) given = [...given, { kind, id, name }];
      return {};
    },
  });
  show(
    <NamesProvider>
      <Named by="client" value="9f2c41aa07be6d13" />
      <Named by="user" value="ada" />
      <Named by="tag" value="team:a:b" />
      <Named by="upstream" value="default" />
    </NamesProvider>,
  );
  return gateway;
}
const tags = (gateway: FakeGateway, tag: string) => gateway.asked.filter((one) => one.tag === tag);

test("names are asked for once, whatever shows them", async () => {
  const gateway = open([
    { kind: "NAMED_KIND_CLIENT_KEY", id: "9f2c41aa07be6d13", name: "CI" },
    { kind: "NAMED_KIND_USER", id: "ada", name: "Ada Lovelace" },
    { kind: "NAMED_KIND_TAG", id: "team=a:b", name: "Search team" },
  ]);
  for (const name of ["CI", "Ada Lovelace", "Search team", "default"])
    expect(await screen.findByText(name)).toBeVisible();
  expect(tags(gateway, "ListNames")).toHaveLength(1);
});

test("Enter saves a name, and it is shown; a tag's has an equals sign between name and value", async () => {
  const gateway = open([]);
  await userEvent.click(await screen.findByRole("button", { name: "Name team:a:b" }));
  expect(screen.getByRole("textbox", { name: "Name of team:a:b" })).toHaveFocus();
  await userEvent.keyboard(" Search team {Enter}");
  expect(await screen.findByText("Search team")).toBeVisible();
  expect(tags(gateway, "SetName")[0]?.payload).toEqual({
    kind: "NAMED_KIND_TAG",
    id: "team=a:b",
    name: "Search team",
  });
  expect(screen.queryByRole("textbox")).toBeNull();
  expect(screen.getByRole("button", { name: "Name team:a:b" })).toHaveFocus();
});

test("an empty name takes it away", async () => {
  open([{ kind: "NAMED_KIND_USER", id: "ada", name: "Ada Lovelace" }]);
  expect(await screen.findByText("Ada Lovelace")).toBeVisible();
  await userEvent.click(screen.getByRole("button", { name: "Name ada" }));
  expect(screen.getByRole("textbox")).toHaveValue("Ada Lovelace");
  await userEvent.clear(screen.getByRole("textbox"));
  await userEvent.keyboard("{Enter}");
  expect(await screen.findByText("ada")).toBeVisible();
});

test("Escape leaves the name as it was, and the dialog around it open", async () => {
  const gateway = open([]);
  await userEvent.click(await screen.findByRole("button", { name: "Name ada" }));
  let prevented = false;
  screen.getByRole("textbox").parentElement?.addEventListener("keydown", (event) => {
    setTimeout(() => {
      prevented = event.defaultPrevented;
    });
  });
  await userEvent.keyboard("half{Escape}");
  expect(screen.queryByRole("textbox")).toBeNull();
  await waitFor(() => expect(prevented).toBe(true));
  expect(tags(gateway, "SetName")).toHaveLength(0);
  expect(screen.getByRole("button", { name: "Name ada" })).toHaveFocus();
});

test("what the server refuses is said, and what was typed stays", async () => {
  open([], "the name has more than 80 bytes");
  await userEvent.click(await screen.findByRole("button", { name: "Name ada" }));
  await userEvent.keyboard("Ada{Enter}");
  expect(await screen.findByRole("alert")).toHaveTextContent("the name has more than 80 bytes");
  expect(screen.getByRole("textbox")).toHaveValue("Ada");
});

test("readers without the role of an admin have no pencil, and an upstream has none", async () => {
  const gateway = open([]);
  expect(await screen.findAllByRole("button")).toHaveLength(3);
  gateway.session = { name: "reader", sees: "everything", writes: false };
  document.body.replaceChildren();
  show(<Named by="user" value="ada" />);
  await screen.findByText("ada");
  await waitFor(() => expect(screen.queryByRole("button")).toBeNull());
});
