// The numbers of a chart as a table, newest bucket first.
import { zoneLabel } from "../lib/format.ts";
import styles from "./time-chart.module.css";
import { bucketLabel, type TimeChartProps, Value } from "./time-chart.tsx";

export default function ValueTable(props: TimeChartProps) {
  const rows = props.buckets.starts.map((start, at) => ({ start, at })).reverse();
  return (
    <section
      className={styles.table}
      style={{ height: props.height - 16 }}
      aria-label={`${props.name}, as a table`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
    >
      <table>
        <thead>
          <tr>
            <th scope="col">Time ({zoneLabel(props.zone, props.buckets.range.end)})</th>
            {props.lines.map((line) => (
              <th key={line.label} scope="col">
                {line.label}
              </th>
            ))}
            {props.ghost ? <th scope="col">{props.ghost.label}</th> : null}
            {props.errors ? <th scope="col">{props.tick?.label ?? "errors"}</th> : null}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ start, at }) => (
            <tr key={start}>
              <th scope="row">{bucketLabel(props, at)}</th>
              {props.lines.map((line) => (
                <td key={line.label}>
                  <Value line={line} index={at} format={props.format} />
                </td>
              ))}
              {props.ghost ? <td>{props.format(props.ghost.values[at] ?? null)}</td> : null}
              {props.errors ? <td>{props.errors[at]}</td> : null}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
