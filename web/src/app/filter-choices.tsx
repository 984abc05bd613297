// What may be chosen to count, or not to: the values of one dimension at a time,
// statuses and kinds of answer.
import { useEffect, useRef, useState } from "react";
import { Segments, Select } from "../components/panel.tsx";
import { count } from "../lib/format.ts";
import { nameOf, useNames } from "../lib/names.tsx";
import { type ListKey, promptRange, STATUSES, useView, without } from "../lib/view.ts";
import { FACETS, type Facet, useFacet } from "./facets.ts";
import styles from "./filter-choices.module.css";

/** Choices that a search shows. */
const MOST = 200;
const STREAM = [
  ["", "All"],
  ["yes", "Streamed"],
  ["no", "Not streamed"],
] as const;

export default function FilterChoices() {
  const [view, setView] = useView();
  const first = view.model === null ? "model" : "client";
  const [facet, setFacet] = useState<Facet>(first);
  const toggle = useToggle();
  return (
    <div className={styles.choices}>
      <fieldset>
        <legend className="hidden">Values</legend>
        <Select
          label="Filter by"
          value={facet}
          options={FACETS.filter(([key]) => key !== "model" || view.model === null)}
          onChange={setFacet}
        />
        <Values key={facet} facet={facet} />
      </fieldset>
      <fieldset>
        <legend>Status</legend>
        {Object.keys(STATUSES).map((name) => (
          <Choice key={name} facet="status" label={name} onToggle={toggle} />
        ))}
      </fieldset>
      <fieldset>
        <legend>Kind of answer</legend>
        <Segments
          label="Kind of answer"
          value={(view.filters.stream[0] ?? "") as "" | "yes" | "no"}
          options={STREAM}
          onChange={(value) => setView({ stream: value })}
        />
      </fieldset>
      <PromptLength />
    </div>
  );
}

type Toggle = (key: ListKey, value: string, exclude?: boolean) => void;

/** Includes or excludes a value, and takes back what was the same before. */
function useToggle(): Toggle {
  const [view, setView] = useView();
  return (key, value, exclude = false) => {
    const not = `not.${key}` as const;
    const [here, there] = exclude ? [not, key] : [key, not];
    const chosen = view.filters[here];
    // A request has one value of a tag, so another one takes its place.
    const same = (one: string) =>
      one === value || (key === "tag" && one.split(":")[0] === value.split(":")[0]);
    const others = chosen.filter((one) => !same(one));
    if (chosen.includes(value)) return setView({ [here]: others });
    if (exclude && key !== "tag") return setView(without(view, key, value));
    setView({ [here]: [...others, value], [there]: view.filters[there].filter((one) => one !== value) });
  };
}

/** The values of a dimension in the range, whatever is chosen now, and a field to search them. */
function Values({ facet }: { facet: Facet }) {
  const [view] = useView();
  const toggle = useToggle();
  const [typed, setTyped] = useState("");
  const field = useRef<HTMLInputElement>(null);
  // The popover is open by the time that this is here, or gives the focus itself.
  useEffect(() => field.current?.focus(), []);
  const names = useNames();
  const { values, hint } = useFacet(facet, typed);
  const listed = new Map(values);
  // What is chosen stands first, listed or not.
  const chosen = [...view.filters[facet], ...view.filters[`not.${facet}`]];
  const all = new Map([...chosen.map((value) => [value, listed.get(value) ?? null] as const), ...listed]);
  // What has a name is found by it, among the values of the range or not.
  if (typed)
    for (const key of names.keys())
      if (key.startsWith(`${facet} `) && !all.has(key.slice(facet.length + 1)))
        all.set(key.slice(facet.length + 1), null);
  const shown = [...all]
    .filter(([value]) =>
      `${nameOf(names, facet, value)} ${value}`.toLowerCase().includes(typed.toLowerCase()),
    )
    .slice(0, MOST);
  const what = FACETS.find(([key]) => key === facet)?.[1].toLowerCase();
  return (
    <>
      <input
        ref={field}
        className={styles.search}
        data-autofocus
        type="search"
        aria-label={`Search by ${what}`}
        placeholder={hint}
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && typed) toggle(facet, shown[0]?.[0] ?? typed, event.altKey);
        }}
      />
      <div className={styles.models}>
        {shown.map(([value, requests]) => (
          <Choice
            key={value}
            facet={facet}
            label={value}
            note={requests === null ? "" : count(requests)}
            onToggle={toggle}
          />
        ))}
        {typed && shown.length === 0 ? <p className="muted">Enter takes {typed} as it is.</p> : null}
      </div>
    </>
  );
}

function Choice(props: { facet: ListKey; label: string; note?: string; onToggle: Toggle }) {
  const { facet, label, note, onToggle } = props;
  const [view] = useView();
  const name = nameOf(useNames(), facet, label);
  return (
    <div className={styles.check}>
      <label>
        <input
          type="checkbox"
          checked={view.filters[facet].includes(label)}
          onChange={() => onToggle(facet, label)}
        />
        <span className="cut" title={label}>
          {name} {name === label ? "" : <span className="mono muted">{label}</span>}
        </span>
      </label>
      <span className="muted">{note}</span>
      <button
        type="button"
        aria-pressed={view.filters[`not.${facet}`].includes(label)}
        aria-label={`not ${name}`}
        onClick={() => onToggle(facet, label, true)}
      >
        not
      </button>
    </div>
  );
}

/** At least and at most so many prompt tokens. */
function PromptLength() {
  const [view, setView] = useView();
  const ends = promptRange(view.filters.prompt[0]);
  const set = (at: 0 | 1, text: string) => {
    const digits = text.replaceAll(/\D/g, "").slice(0, 15);
    const [least, most] = at === 0 ? [digits, ends[1] ?? ""] : [ends[0] ?? "", digits];
    setView({ prompt: least === "" && most === "" ? null : `${least}-${most}` }, true);
  };
  return (
    <fieldset>
      <legend>Prompt tokens</legend>
      <div className={styles.row}>
        {(["at least", "at most"] as const).map((name, at) => (
          <input
            key={name}
            className={styles.search}
            inputMode="numeric"
            aria-label={`Prompt tokens, ${name}`}
            placeholder={name}
            value={ends[at] ?? ""}
            onChange={(event) => set(at as 0 | 1, event.target.value)}
          />
        ))}
      </div>
    </fieldset>
  );
}
