// What may be chosen to count: models, statuses and kinds of answer.
import { useEffect, useRef, useState } from "react";
import { useRpc } from "../api/use-rpc.ts";
import { Segments } from "../components/panel.tsx";
import { count } from "../lib/format.ts";
import { type FilterKey, STATUSES, toFilter, useScope, useView } from "../lib/view.ts";
import styles from "./filter-choices.module.css";

const STREAM = [
  ["", "All"],
  ["yes", "Streamed"],
  ["no", "Not streamed"],
] as const;

export default function FilterChoices() {
  const [view, setView] = useView();
  const { model, status, stream } = view.filters;
  const toggle = (key: FilterKey, value: string) => {
    const chosen = view.filters[key];
    setView({ [key]: chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value] });
  };
  return (
    <div className={styles.choices}>
      {view.model === null ? <Models chosen={model} onToggle={(name) => toggle("model", name)} /> : null}
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
  const field = useRef<HTMLInputElement>(null);
  // The popover is open by the time that this is here, or gives the focus itself.
  useEffect(() => field.current?.focus(), []);
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
        ref={field}
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
