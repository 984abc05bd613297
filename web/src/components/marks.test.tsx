import { screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { NOON } from "../testing/fixtures.ts";
import { fakeGateway } from "../testing/gateway.ts";
import { show } from "../testing/render.tsx";
import Marks from "./marks.tsx";

test("marks of the range stand at their moments, and those that would overlap are one", async () => {
  const at = (text: string, markedAt: number) => ({ markId: text, markedAt, text, link: "" });
  fakeGateway({
    ListMarks: () => ({
      marks: [at("before", NOON - 1), at("a", NOON + 100), at("b", NOON + 110), at("c", NOON + 400)],
    }),
  });
  const buckets = { starts: [NOON], ends: [NOON + 500], partial: [false] };
  const range = { start: NOON, end: NOON + 500 };
  show(<Marks x={(moment) => moment - NOON} width={500} bottom={200} buckets={{ ...buckets, range }} />);
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((text) => screen.findByText(text)));
  expect(a?.parentElement).toBe(b?.parentElement);
  expect(a?.parentElement?.parentElement).toHaveStyle({ left: "100px" });
  expect(c?.parentElement?.parentElement).toHaveStyle({ left: "400px" });
  expect(c?.parentElement).toHaveAttribute("data-side", "left");
  expect(screen.queryByText("before")).toBeNull();
});
