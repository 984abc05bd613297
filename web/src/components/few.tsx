// A percentile of few values is hardly one: the 95th of ten is just the largest.
import type { ReactNode } from "react";

/** Fewer values than this give no percentile to rely on. */
export const FEWEST = 20;

/** Muted, and says why, where the percentile is one of fewer than 20 values. */
export function Few({ values, children }: { values: number; children: ReactNode }) {
  if (values >= FEWEST || values === 0) return children;
  return (
    <span
      className="few"
      title={`Of ${values === 1 ? "one value" : `${values} values`} only: too few to rely on`}
    >
      {children} <span className="hidden">of too few values to rely on</span>
    </span>
  );
}
