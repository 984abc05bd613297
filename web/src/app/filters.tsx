// What counts: chips for the filters in force, and a popover to choose them.
import { useState } from "react";
import { useRpc } from "../api/use-rpc.ts";
import { Button, Segments } from "../components/panel.tsx";
import { Popover } from "../components/popover.tsx";
import { count } from "../lib/format.ts";
import { FILTER_KEYS, type FilterKey, STATUSES, toFilter, useScope, useView } from "../lib/view.ts";
import styles from "./filters.module.css";

const NAMES: Record<FilterKey, string> = {
  model: "model",
  status: "status",
  client: "client",
  upstream: "upstream",
  stream: "streamed",
  trace: "trace",
};
const STREAM = [
  ["", "All"],
  ["yes", "Streamed"],
  ["no", "Not streamed"],
] as const;

export function FilterButton() {
  return (
    <Popover
      quiet
      name="Filter"
      shortcut="f"
      label={
        <>
          <svg
            aria-hidden="true"
            width="14"
            height="14"
            viewBox="0 0 16 16"
            stroke="currentColor"
            strokeWidth="1.5"
          >
            <path d="M2 4.5h12M4.5 8h7M7 11.5h2" strokeLinecap="round" />
          </svg>
          Filter
        </>
      }
    >
      {() => <Choices />}
    </Popover>
  );
}

function Choices() {
  const [view, setView] = useView();
  const { model, status, stream } = view.filters;
  const toggle = (key: FilterKey, value: string) => {
    const chosen = view.filters[key];
    setView({ [key]: chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value] });
  };
  return (
    <div className={styles.choices}>
      <Models chosen={model} onToggle={(name) => toggle("model", name)} />
      <fieldset>
        <legend>Status</legend>
        <div className={styles.row}>
          {Object.keys(STATUSES).map((name) => (
            <Check
              key={name}
              label={name}
              checked={status.includes(name)}
              onChange={() => toggle("status", name)}
            />
          ))}
        </div>
      </fieldset>
      <fieldset>
        <legend>Kind of answer</legend>
        <Segments
          label="Kind of answer"
          value={(stream[0] ?? "") as "" | "yes" | "no"}
          options={STREAM}
          onChange={(value) => setView({ stream: value })}
        />
      </fieldset>
    </div>
  );
}

/** All models of the range, whatever is chosen now. */
function Models({ chosen, onToggle }: { chosen: string[]; onToggle: (name: string) => void }) {
  const [view] = useView();
  const scope = useScope();
  const [typed, setTyped] = useState("");
  const { data } = useRpc("ModelBreakdown", ["choices", view.span, view.zone], () => ({
    range: scope.range(),
    filter: toFilter({ ...view.filters, model: [], status: [], stream: [] }),
    timeZone: scope.zone,
    limit: 200,
  }));
  const names = new Map(data?.rows.filter((row) => row.model).map((row) => [row.model, row.requests]));
  for (const name of chosen) if (!names.has(name)) names.set(name, 0);
  const shown = [...names].filter(([name]) => name.toLowerCase().includes(typed.toLowerCase()));
  return (
    <fieldset>
      <legend>Model</legend>
      <input
        className={styles.search}
        data-autofocus
        type="search"
        aria-label="Search models"
        placeholder="Search models"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => {
          const first = shown[0];
          if (event.key === "Enter" && typed && first) onToggle(first[0]);
        }}
      />
      <div className={styles.models}>
        {shown.map(([name, requests]) => (
          <Check
            key={name}
            label={name}
            note={count(requests)}
            checked={chosen.includes(name)}
            onChange={() => onToggle(name)}
          />
        ))}
      </div>
    </fieldset>
  );
}

function Check(props: { label: string; note?: string; checked: boolean; onChange: () => void }) {
  return (
    <label className={styles.check}>
      <input type="checkbox" checked={props.checked} onChange={props.onChange} />
      <span className="cut">{props.label}</span>
      <span className="muted">{props.note}</span>
    </label>
  );
}

/** One chip for each filter in force. */
export function FilterChips() {
  const [view, setView] = useView();
  const chips = FILTER_KEYS.filter((key) => view.filters[key].length > 0);
  if (chips.length === 0) return null;
  return (
    <ul className={styles.chips} aria-label="Filters in force">
      {chips.map((key) => (
        <li key={key}>
          <span className="muted">{NAMES[key]}</span>{" "}
          <span className="cut">{view.filters[key].join(", ")}</span>
          <button
            type="button"
            aria-label={`Remove the filter on ${NAMES[key]}`}
            onClick={() => setView({ [key]: null })}
          >
            ×
          </button>
        </li>
      ))}
      {chips.length > 1 ? (
        <li className={styles.clear}>
          <Button quiet onClick={() => setView(Object.fromEntries(FILTER_KEYS.map((key) => [key, null])))}>
            Clear all
          </Button>
        </li>
      ) : null}
    </ul>
  );
}
