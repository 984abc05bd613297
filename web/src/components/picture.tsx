// A chart as a picture that stands alone: with its title, range and legend, in the
// theme's colours, whatever the size of the window.
import type { Ref } from "react";
import styles from "./export-choices.module.css";
import type { ExportedChart } from "./export-menu.tsx";
import { type Line, Plot } from "./plot.tsx";

const WIDTH = 960;
const PLOT_HEIGHT = 360;
const EDGE = 20;
/** Titles above the legend, and a line of the legend. */
const TOP = 64;
const LEGEND_LINE = 20;
/** About the width of a letter; a legend breaks its lines by it. */
const LETTER = 6.8;
/** A picture has more pixels than the page has points. */
const PIXELS = 2;

/** Places of the legend's entries, line by line. */
function legend(lines: Line[]): { line: Line; x: number; y: number }[] {
  let [x, y] = [EDGE, TOP];
  return lines.map((line) => {
    const width = 24 + line.label.length * LETTER + 16;
    if (x + width > WIDTH - EDGE && x > EDGE) [x, y] = [EDGE, y + LEGEND_LINE];
    const place = { line, x, y };
    x += width;
    return place;
  });
}

export function Picture(props: { ref: Ref<SVGSVGElement>; chart: ExportedChart; caption: string }) {
  const { chart } = props;
  const errors: Line[] = chart.errors
    ? [{ label: "errors", color: "--error", ...chart.tick, values: [] }]
    : [];
  const entries = legend([...chart.lines, ...(chart.ghost ? [chart.ghost] : []), ...errors]);
  const top = (entries.at(-1)?.y ?? TOP) + LEGEND_LINE;
  const height = top + PLOT_HEIGHT + 8;
  return (
    <svg
      ref={props.ref}
      aria-hidden="true"
      className={styles.picture}
      width={WIDTH}
      height={height}
      viewBox={`0 0 ${WIDTH} ${height}`}
    >
      <rect width={WIDTH} height={height} fill="var(--panel)" />
      <text x={EDGE} y={28} className={styles.title}>
        {chart.name}
      </text>
      <text x={EDGE} y={46}>
        {props.caption}
      </text>
      {entries.map(({ line, x, y }) => (
        <g key={`${x} ${y}`} transform={`translate(${x} ${y})`}>
          <path
            d="M0 5h16"
            stroke={`var(${line.color})`}
            strokeWidth={chart.kind === "bars" && line !== chart.ghost ? 8 : 2}
            strokeDasharray={line.dash}
            opacity={line.thin ? 0.3 : 1}
          />
          <text x={22} y={9}>
            {line.label}
          </text>
        </g>
      ))}
      <g transform={`translate(8 ${top})`}>
        <Plot {...plotOf(chart)} width={WIDTH - 16} height={PLOT_HEIGHT} />
      </g>
    </svg>
  );
}

const plotOf = ({
  kind,
  buckets,
  lines,
  errors,
  tick,
  ghost,
  band,
  zone,
  log,
  money,
  reach,
  format,
}: ExportedChart) => ({
  ...{ kind, buckets, lines, zone, format },
  ...(errors ? { errors } : {}),
  ...(tick ? { tick } : {}),
  ...(ghost ? { ghost } : {}),
  ...(band ? { band } : {}),
  ...(log ? { log } : {}),
  ...(money ? { money } : {}),
  ...(reach ? { reach } : {}),
});

/** What style sheets give to a drawing; written into it, since they do not go along. */
const STYLED = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "stroke-linecap",
  "stroke-linejoin",
  "opacity",
  "font-family",
  "font-size",
  "font-weight",
  "text-anchor",
];

/** The drawing as a file of its own. */
export function serialize(drawn: SVGSVGElement): string {
  const copy = drawn.cloneNode(true) as SVGSVGElement;
  const from = [drawn, ...drawn.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  to.forEach((element, at) => {
    const source = from[at];
    if (!source) return;
    const style = getComputedStyle(source);
    for (const name of STYLED) {
      const value = style.getPropertyValue(name);
      // A pattern is named by its id, which stays as it is.
      if (value && !value.includes("url(")) element.setAttribute(name, value);
    }
    for (const name of ["class", "aria-hidden", "style", "data-day"]) element.removeAttribute(name);
  });
  return new XMLSerializer().serializeToString(copy);
}

/** The same as PNG. The content security policy allows images of data: addresses. */
export async function toPng(svg: string): Promise<Blob> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), {
    width: image.naturalWidth * PIXELS,
    height: image.naturalHeight * PIXELS,
  });
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) =>
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("no picture"))), "image/png"),
  );
}
