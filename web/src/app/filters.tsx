// What counts: chips for the filters in force, and a popover to choose them.
import { lazy, Suspense } from "react";
import { Button } from "../components/panel.tsx";
import { Popover } from "../components/popover.tsx";
import { FILTER_KEYS, type FilterKey, useView } from "../lib/view.ts";
import styles from "./filters.module.css";

const NAMES: Record<FilterKey, string> = {
  model: "model",
  status: "status",
  client: "client",
  upstream: "upstream",
  stream: "streamed",
  trace: "trace",
};
const Choices = lazy(() => import("./filter-choices.tsx"));

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
      {() => (
        <Suspense>
          <Choices />
        </Suspense>
      )}
    </Popover>
  );
}

/** One chip for each filter in force. */
export function FilterChips() {
  const [view, setView] = useView();
  const chips = FILTER_KEYS.filter(
    (key) => view.filters[key].length > 0 && !(key === "model" && view.model !== null),
  );
  if (chips.length === 0) return null;
  return (
    <section aria-label="Filters">
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
    </section>
  );
}
