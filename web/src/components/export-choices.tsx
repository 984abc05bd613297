// What a panel hands out: its numbers as CSV or JSON, and a chart as a picture too.
import { useEffect, useRef, useState } from "react";
import { serverNow } from "../lib/clock.ts";
import { inDollars } from "../lib/cost.ts";
import { download, fileName, type Sheet, toCsv, toJson } from "../lib/download.ts";
import { zoneLabel } from "../lib/format.ts";
import { nameOf, useNames } from "../lib/names.tsx";
import { spanLabel } from "../lib/time-range.ts";
import { FILTER_KEYS, useScope, useView, type View } from "../lib/view.ts";
import styles from "./export-choices.module.css";
import type { Exported, ExportedChart } from "./export-menu.tsx";
import { Button } from "./panel.tsx";
import { Picture, serialize, toPng } from "./picture.tsx";

export default function ExportChoices(props: Exported & { onDone: () => void }) {
  const { what, chart, now = false } = props;
  const [view] = useView();
  const scope = useScope();
  const names = useNames();
  const [failed, setFailed] = useState(false);
  const first = useRef<HTMLButtonElement>(null);
  const picture = useRef<SVGSVGElement>(null);
  useEffect(() => first.current?.focus(), []);
  const save = (ending: string, type: string, content: BlobPart) => {
    const name = fileName(what, now ? NONE : view.filters, now ? null : scope.moments(), view.zone);
    download(`${name}.${ending}`, new Blob([content], { type }));
    props.onDone();
  };
  const sheet = () => props.sheet?.() ?? (chart ? chartSheet(chart) : { names: [], rows: [] });
  const svg = () => (picture.current ? serialize(picture.current) : "");
  const png = async () => {
    try {
      save("png", "image/png", await toPng(svg()));
    } catch {
      setFailed(true);
    }
  };
  const narrowed = FILTER_KEYS.filter((key) => view.filters[key].length > 0).map(
    (key) => `${key} ${view.filters[key].map((value) => nameOf(names, key, value)).join(", ")}`,
  );
  const caption = [`${spanLabel(view.span, view.zone)}, ${zoneLabel(view.zone, serverNow())}`, ...narrowed];
  return (
    <div className={styles.choices}>
      <Button ref={first} onClick={() => save("csv", "text/csv;charset=utf-8", toCsv(sheet(), view.zone))}>
        CSV
      </Button>
      <Button onClick={() => save("json", "application/json;charset=utf-8", toJson(sheet(), view.zone))}>
        JSON
      </Button>
      {chart ? (
        <>
          <Button onClick={() => save("svg", "image/svg+xml;charset=utf-8", svg())}>SVG</Button>
          <Button onClick={() => void png()}>PNG</Button>
          <div className="hidden" aria-hidden="true">
            <Picture ref={picture} chart={chart} caption={caption.join(" · ")} />
          </div>
        </>
      ) : null}
      {failed ? <p role="alert">This browser could not draw the picture. SVG holds the same one.</p> : null}
    </div>
  );
}

const NONE = Object.fromEntries(FILTER_KEYS.map((key) => [key, []])) as unknown as View["filters"];

/** One row for each bucket, oldest first, with a column for each line; money is in it exactly, and in dollars. */
export function chartSheet({ buckets, lines, ghost, errors, tick, money }: ExportedChart): Sheet {
  const drawn = [...lines, ...(ghost ? [ghost] : [])].map(({ label, column = label, values }) => ({
    label: column,
    values,
  }));
  const columns = money
    ? drawn.flatMap(({ label, values }) => [
        { label: `${label} nanoUsd`, values },
        { label: `${label} usd`, values: values.map(inDollars) },
      ])
    : drawn;
  const name = distinct();
  return {
    names: [
      "start",
      "end",
      "wholeBucket",
      ...(errors
        ? [...columns.map(({ label }) => label), tick?.label ?? "errors"]
        : columns.map(({ label }) => label)),
    ].map(name),
    rows: buckets.starts.map((start, at) => [
      new Date(start),
      new Date(buckets.ends[at] ?? start),
      !buckets.partial[at],
      ...columns.map(({ values }) => values[at] ?? null),
      ...(errors ? [errors[at] ?? 0] : []),
    ]),
  };
}

/** A model may be called as another column is: names are told apart by a number. */
function distinct(): (name: string) => string {
  const taken = new Set<string>();
  return (name) => {
    let free = name;
    for (let at = 2; taken.has(free); at += 1) free = `${name} ${at}`;
    taken.add(free);
    return free;
  };
}
