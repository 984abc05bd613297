// What counts: chips for the filters in force, and a popover to choose them.
import { lazy, Suspense } from "react";
import { Button } from "../components/panel.tsx";
import { Popover } from "../components/popover.tsx";
import { nameOf, useNames } from "../lib/names.tsx";
import { FILTER_KEYS, type FilterKey, opposite, useView } from "../lib/view.ts";
import styles from "./filters.module.css";

const name = (key: FilterKey): string =>
  ({ stream: "streamed", prompt: "prompt tokens" })[key as string] ?? key.replace("not.", "");
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
  const names = useNames();
  const chips = FILTER_KEYS.filter(
    (key) => view.filters[key].length > 0 && !(key === "model" && view.model !== null),
  );
  if (chips.length === 0) return null;
  return (
    <section aria-label="Filters">
      <ul className={styles.chips} aria-label="Filters in force">
        {chips.map((key) => (
          <li key={key}>
            <span className="muted">{name(key)}</span> <Turn filter={key} />{" "}
            <span className="cut" title={view.filters[key].join(", ")}>
              {words(
                key,
                view.filters[key].map((value) => nameOf(names, key, value)),
              )}
            </span>
            <button
              type="button"
              aria-label={`Remove the ${key.startsWith("not.") ? "exclusion by" : "filter on"} ${name(key)}`}
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

/** Values as a chip shows them: "1000-" prompt tokens are "1000 or more". */
const words = (key: FilterKey, values: string[]): string => {
  const text = values.join(", ");
  return key === "prompt"
    ? text.replace(/-$/, " or more").replace(/^-/, "up to ").replace("-", " to ")
    : text;
};

/** "is" or "is not": a click turns the filter over. */
function Turn({ filter }: { filter: FilterKey }) {
  const [view, setView] = useView();
  const is = filter.startsWith("not.") ? "is not" : "is";
  const other = opposite(filter);
  const values = view.filters[filter];
  const turned = other
    ? { [filter]: null, [other]: [...new Set([...view.filters[other], ...values])] }
    : filter === "stream" && { stream: values[0] === "yes" ? "no" : "yes" };
  if (!turned) return null;
  return (
    <Button
      quiet
      title="Turn this filter over"
      aria-label={`${name(filter)} ${is}`}
      onClick={() => setView(turned)}
    >
      {is}
    </Button>
  );
}
