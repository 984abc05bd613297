// Marks over a chart: a line at the moment of each, such as a deployment, with a flag
// that shows what it was. Their list is in the menu of views and marks.
import type { Mark } from "../api/types.ts";
import { dateTime } from "../lib/format.ts";
import type { Buckets } from "../lib/time-range.ts";
import { useMarks } from "../lib/use-marks.ts";
import { useView } from "../lib/view.ts";
import styles from "./marks.module.css";

/** Flags that would be nearer to each other than this are one. */
const APART = 16;

export default function Marks(props: {
  x: (at: number) => number;
  width: number;
  bottom: number;
  buckets: Buckets;
}) {
  const { x, width, bottom } = props;
  const { start, end } = props.buckets.range;
  const [view] = useView();
  const { data } = useMarks();
  const flags: { left: number; marks: Mark[] }[] = [];
  for (const mark of data?.marks ?? []) {
    const at = mark.markedAt ?? 0;
    if (at < start || at > end) continue;
    const left = Math.round(x(at));
    const last = flags.at(-1);
    if (last && left - last.left < APART) last.marks.push(mark);
    else flags.push({ left, marks: [mark] });
  }
  return (
    <div aria-hidden="true">
      {flags.map(({ left, marks }) => (
        <div
          key={marks[0]?.markId}
          className={styles.mark}
          style={{ left, height: bottom }}
          // What is done to a flag is not done to the chart below it.
          onPointerDown={(event) => event.stopPropagation()}
          onPointerUp={(event) => event.stopPropagation()}
        >
          <i className={styles.flag} />
          <ul className={styles.words} data-side={left > width / 2 ? "left" : "right"}>
            {marks.map(({ markId, markedAt, text, link }) => (
              <li key={markId}>
                {link ? (
                  <a href={link} target="_blank" rel="noreferrer" tabIndex={-1}>
                    {text}
                  </a>
                ) : (
                  text
                )}{" "}
                <span className="muted">{dateTime(markedAt, view.zone)}</span>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </div>
  );
}
