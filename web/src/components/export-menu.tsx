// The button of a panel that hands out what it shows. What it offers is loaded when it opens.
import { lazy, Suspense } from "react";
import type { Sheet } from "../lib/download.ts";
import { Icon } from "./icon.tsx";
import { Popover } from "./popover.tsx";
import type { TimeChartProps } from "./time-chart.tsx";

const ExportChoices = lazy(() => import("./export-choices.tsx"));

/** What a chart over time is made of, for its numbers and for its picture. */
export type ExportedChart = Omit<TimeChartProps, "height" | "cursor" | "asTable">;

export interface Exported {
  /** What it is; names the files. */
  what: string;
  chart?: ExportedChart | null | undefined;
  /** The numbers of what is no chart over time. */
  sheet?: (() => Sheet) | null | undefined;
  /** It shows what is now, whatever the range. */
  now?: boolean;
}

/** While there is nothing to hand out, the button is there and off, so that nothing moves later. */
export function ExportMenu(props: Exported) {
  return (
    <Popover
      quiet
      name={`Export ${props.what}`}
      shortcut="e"
      disabled={!props.chart && !props.sheet}
      label={
        <Icon>
          <path d="M8 2.5v7.5M4.8 7 8 10.2 11.2 7M3 13h10" strokeLinecap="round" strokeLinejoin="round" />
        </Icon>
      }
    >
      {(close) => (
        <Suspense>
          <ExportChoices {...props} onDone={close} />
        </Suspense>
      )}
    </Popover>
  );
}
