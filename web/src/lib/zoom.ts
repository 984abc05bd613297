// Zooms and how they are undone. The way back is kept here and not taken from the
// browser's history, which may hold other pages and other sites.
import { useCallback } from "react";
import { useLocation } from "wouter";
import { absolute, DEFAULT_SPAN, type Moments, type Span } from "./time-range.ts";
import { type SomeFilters, useHref, useView } from "./view.ts";

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

export interface Zoom {
  /** Narrows the view to a range. */
  zoom: (range: Moments) => void;
  /** Goes back to the range before the last zoom, and does nothing where there was none. */
  undo: () => void;
  canUndo: () => boolean;
  /** Shows the single requests of a range, narrowed by filters. */
  open: (range: Moments, filters?: SomeFilters) => void;
}

export function useZoom(): Zoom {
  const [view, setView] = useView();
  const [path, navigate] = useLocation();
  const href = useHref();
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
  const open = useCallback(
    (range: Moments, filters?: SomeFilters) => {
      if (path.startsWith("/requests")) return zoom(range);
      const { from, to } = absolute(range);
      const url = new URL(href("/requests", filters), location.origin);
      url.searchParams.set("from", from);
      url.searchParams.set("to", to);
      navigate(url.pathname + url.search);
    },
    [path, zoom, href, navigate],
  );
  const canUndo = useCallback(() => before.length > 0, []);
  return { zoom, undo, canUndo, open };
}
