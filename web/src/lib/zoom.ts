// Zooms and how they are undone. The way back is kept here and not taken from the
// browser's history, which may hold other pages and other sites.
import { useCallback } from "react";
import { absolute, DEFAULT_SPAN, type Moments, type Span } from "./time-range.ts";
import { useView } from "./view.ts";

/** Ranges before each zoom that is in force, the latest last. */
const before: { span: Span; zoomed: Span }[] = [];
/** No drag is finer than a second. */
const LEAST_MS = 1_000;

const same = (a: Span, b: Span) => a.from === b.from && a.to === b.to;

/** A span as the URL has it: defaults are left out. */
export const spanParams = ({ from, to }: Span): { from: string | null; to: string | null } => ({
  from: from === DEFAULT_SPAN.from && to === "now" ? null : from,
  to: to === "now" ? null : to,
});

/** `zoom` narrows the view to a range; `undo` goes back to the range before it, and does nothing where none was. */
export function useZoom(): { zoom: (range: Moments) => void; undo: () => void } {
  const [view, setView] = useView();
  const { span } = view;
  const zoom = useCallback(
    ({ start, end }: Moments) => {
      const zoomed = absolute({ start, end: Math.max(end, start + LEAST_MS) });
      before.push({ span, zoomed });
      setView(spanParams(zoomed));
    },
    [span, setView],
  );
  const undo = useCallback(() => {
    const last = before.pop();
    // Another range was chosen meanwhile: those zooms are over.
    if (last && same(last.zoomed, span)) setView(spanParams(last.span));
    else before.length = 0;
  }, [span, setView]);
  return { zoom, undo };
}
