// Whether every request that a proxy saw is stored: the account of each replica.
// Green only when it adds up.
import { useEffect, useRef } from "react";
import type { ReplicaCompleteness } from "../../api/types.ts";
import { ExportMenu } from "../../components/export-menu.tsx";
import { Empty, Panel, QueryState } from "../../components/panel.tsx";
import { Status, type Tone } from "../../components/status.tsx";
import { serverNow } from "../../lib/clock.ts";
import type { Sheet } from "../../lib/download.ts";
import { ago, count, dateTime, duration, exact, UNKNOWN } from "../../lib/format.ts";
import { useNow } from "../../lib/use-now.ts";
import { useView } from "../../lib/view.ts";
import styles from "./completeness.module.css";
import { summary, useCompleteness } from "./use-completeness.ts";

const HEIGHT = 120;

interface Column {
  label: string;
  title: string;
  value(row: ReplicaCompleteness): number | undefined;
  /** It should be 0. */
  fault?: boolean;
}

/**
 * A proxy reports once a second, while commits are counted at once: what is stored
 * has finished, also when the last report does not know it yet.
 */
const finished = (row: ReplicaCompleteness): number =>
  Math.max(row.reported?.finished ?? 0, row.committed + row.rejected);

const COLUMNS: Column[] = [
  {
    label: "Started",
    title: "Requests whose head arrived",
    value: (row) => (row.reported ? Math.max(row.reported.started, finished(row)) : undefined),
  },
  {
    label: "Finished",
    title: "Requests that ended",
    value: (row) => (row.reported ? finished(row) : undefined),
  },
  { label: "In memory", title: "Events that wait in memory", value: (row) => row.reported?.queued },
  { label: "On disk", title: "Events that wait on disk", value: (row) => row.reported?.spooled },
  { label: "Sent", title: "Events sent to analytics, repeats included", value: (row) => row.reported?.sent },
  { label: "Committed", title: "Events stored in the database", value: (row) => row.committed },
  {
    label: "Rejected",
    title: "Events that can never be stored; they are in quarantine",
    value: (row) => row.rejected + row.rejectedBefore,
    fault: true,
  },
  {
    label: "Dropped",
    title: "Events given up because a limit was reached",
    value: (row) => (row.reported?.dropped ?? 0) + row.droppedBefore,
    fault: true,
  },
];

type State = ReplicaCompleteness["state"];

const STATES: Record<State, [Tone, string]> = {
  COMPLETENESS_STATE_UNSPECIFIED: ["cancelled", "Unknown"],
  COMPLETENESS_STATE_COMPLETE: ["ok", "Complete"],
  COMPLETENESS_STATE_WAITING: ["running", "Waiting"],
  COMPLETENESS_STATE_LOSSY: ["error", "Lossy"],
  COMPLETENESS_STATE_SILENT: ["cancelled", "Silent"],
  COMPLETENESS_STATE_STOPPED: ["cancelled", "Stopped"],
};

/** What the state means for this replica. */
function reason(row: ReplicaCompleteness): string {
  const faults = [
    [row.missing, "acknowledged but not stored"],
    [row.unaccounted ?? 0, "not accounted for"],
  ] as const;
  switch (row.state) {
    case "COMPLETENESS_STATE_COMPLETE":
      return "Every finished request is stored: the numbers add up";
    case "COMPLETENESS_STATE_WAITING":
      return "The numbers add up, and events wait to be stored";
    case "COMPLETENESS_STATE_SILENT":
      return "Nothing heard of it for 15 s: these are the numbers of its last report";
    case "COMPLETENESS_STATE_STOPPED":
      return "It was stopped after everything was stored: these are its last numbers";
    default:
      return [
        "Events were lost or refused",
        ...faults.filter(([n]) => n).map(([n, of]) => `${exact(n)} ${of}`),
      ].join("; ");
  }
}

export function Completeness() {
  const query = useCompleteness();
  const replicas = query.data?.replicas;
  const place = useRef<HTMLDivElement>(null);
  const answered = query.data !== undefined;
  // The page is as high as it will be once all of it is there.
  useEffect(() => {
    if (answered && location.hash === "#delivery") place.current?.scrollIntoView();
  }, [answered]);
  return (
    <div ref={place} id="delivery" className={styles.place}>
      <Panel
        title="Delivery"
        note={query.data ? summary(query.data.replicas) : ""}
        controls={<ExportMenu what="delivery" now sheet={replicas && (() => sheetOf(replicas))} />}
      >
        <QueryState query={query} what="delivery" height={HEIGHT}>
          {({ replicas, now }) =>
            replicas.length === 0 ? (
              <Empty title="No proxy has reported yet" height={HEIGHT} />
            ) : (
              <Table rows={replicas} asOf={now ?? serverNow()} />
            )
          }
        </QueryState>
      </Panel>
    </div>
  );
}

const moment = (at: number | null | undefined) => (at == null ? null : new Date(at));

const sheetOf = (rows: ReplicaCompleteness[]): Sheet => ({
  names: [
    "proxy",
    "state",
    ...COLUMNS.map(({ label }) => label.toLowerCase()),
    "oldestUnsentAt",
    "reportedAt",
  ],
  rows: rows.map((row) => [
    row.replicaId,
    STATES[row.state][1],
    ...COLUMNS.map(({ value }) => value(row) ?? null),
    moment(row.reported?.oldestUnsentAt),
    moment(row.reportedAt),
  ]),
});

function Table({ rows, asOf }: { rows: ReplicaCompleteness[]; asOf: number }) {
  const [view] = useView();
  const now = useNow(1_000);
  return (
    <section
      className={styles.scroll}
      aria-label="Delivery of each proxy"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
    >
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">Proxy</th>
            <th scope="col">State</th>
            {COLUMNS.map(({ label, title }) => (
              <th key={label} scope="col" className="number" title={title}>
                {label}
              </th>
            ))}
            <th scope="col" className="number" title="Age of the oldest event that is not stored">
              Oldest waits
            </th>
            <th scope="col" className="number">
              Reported
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const [tone, text] = STATES[row.state];
            const oldest = row.reported?.oldestUnsentAt ?? null;
            return (
              <tr key={row.replicaId}>
                <th scope="row" className="cut" title={row.version ? `Version ${row.version}` : undefined}>
                  {row.replicaId}
                </th>
                <td className={tone === "ok" ? styles.complete : undefined}>
                  <Status tone={tone} text={text} title={reason(row)} />
                </td>
                {COLUMNS.map(({ label, value, fault }) => (
                  <td
                    key={label}
                    className={`number ${fault && value(row) ? styles.fault : ""}`}
                    title={exact(value(row))}
                  >
                    {count(value(row))}
                  </td>
                ))}
                <td className="number">{oldest === null ? UNKNOWN : duration(Math.max(0, asOf - oldest))}</td>
                <td className="number" title={dateTime(row.reportedAt, view.zone)}>
                  {ago(row.reportedAt, now, view.zone)}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
