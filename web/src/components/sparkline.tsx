// A line of a few dozen values without axes; decoration beside the number it
// belongs to, so that screen readers skip it.
import { groupSize, peaks } from "../lib/thin.ts";

/** A tile is about twice as many pixels wide. */
const MOST = 150;

export function Sparkline(props: {
  values: (number | null)[];
  color?: string;
  height?: number;
  /** The height stands for this much at least. */
  max?: number;
  /** Places on the line; values that are fewer stand at its right end. */
  places?: number;
  className?: string | undefined;
}) {
  const { color = "var(--c1)", height = 40 } = props;
  const missing = Math.max(0, (props.places ?? 0) - props.values.length);
  const size = groupSize(props.values.length, MOST);
  const shown = size > 1 ? peaks(props.values, size).map((at) => props.values[at] ?? null) : props.values;
  const values = [...Array<null>(missing).fill(null), ...shown];
  const max = Math.max(props.max ?? 0, ...values.map((value) => value ?? 0));
  const width = Math.max(values.length - 1, 1);
  const y = (value: number) => (max > 0 ? height - 2 - (value / max) * (height - 4) : height - 2).toFixed(1);
  let line = "";
  let area = "";
  let open: number | null = null;
  values.forEach((value, x) => {
    if (value !== null) {
      line += `${open === null ? "M" : "L"}${x} ${y(value)}`;
      if (open === null) area += `M${x} ${height}`;
      area += `L${x} ${y(value)}`;
      open = x;
    }
    if (open !== null && (value === null || x === values.length - 1)) {
      area += `L${open} ${height}Z`;
      open = value === null ? null : open;
    }
  });
  // A flat line of nothing says nothing.
  if (max === 0 || values.every((value) => !value))
    return <div className={props.className} style={{ height }} />;
  return (
    <svg
      aria-hidden="true"
      className={props.className}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      width="100%"
      height={height}
      style={{ display: "block" }}
    >
      <path d={area} fill={color} opacity={0.12} />
      <path
        d={line}
        fill="none"
        stroke={color}
        strokeWidth={1.5}
        strokeLinejoin="round"
        strokeLinecap="round"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}
