// The keys of the dashboard, and the list of them. A control that has a key says
// so by data-key, and the key does what a click on it does.
import { useEffect, useRef, useState } from "react";
import { Button } from "../components/panel.tsx";
import { useZoom } from "../lib/zoom.ts";
import styles from "./help.module.css";

const KEYS = [
  ["g o", "Overview"],
  ["g t", "Throughput"],
  ["g m", "Models"],
  ["g r", "Requests"],
  ["t", "Time range"],
  ["[ ]", "One range back, one on"],
  ["z", "Undo a zoom"],
  ["f /", "Filter, search models"],
  ["c", "Copy a link with this range"],
  ["l", "Live or paused"],
  ["j k", "Down and up in a list of requests"],
  ["Enter", "Open the request"],
  ["e", "Export as CSV"],
  ["d", "Dark or light"],
  ["?", "This list"],
] as const;

const KEPT = "modash-keys";
const SEQUENCE_MS = 1_000;

const keysAreOn = (): boolean => {
  try {
    return localStorage.getItem(KEPT) !== "off";
  } catch {
    return true;
  }
};

/** Moves the focus among the requests of a list. */
function walk(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  rows[at < 0 ? 0 : Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus();
}

function press(keys: string, undoZoom: () => void): boolean {
  if (keys === "j" || keys === "k") walk(keys === "j" ? 1 : -1);
  else if (keys === "z") undoZoom();
  else {
    const key = keys === "/" ? "f" : keys;
    const control = document.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
    if (!control) return false;
    control.click();
  }
  return true;
}

function useKeys(): void {
  const { undo } = useZoom();
  useEffect(() => {
    let before = { key: "", at: 0 };
    const down = (event: KeyboardEvent) => {
      const { target, key } = event;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !keysAreOn()) return;
      if (
        target instanceof HTMLElement &&
        target.closest("input, select, textarea, [contenteditable], dialog")
      )
        return;
      // What is beside an open dialog is out of reach.
      if (document.querySelector("dialog[open]")) return;
      const now = Date.now();
      const keys = before.key === "g" && now - before.at < SEQUENCE_MS ? `g ${key}` : key;
      before = { key: keys, at: now };
      if (press(keys, undo)) event.preventDefault();
    };
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }, [undo]);
}

export function Help() {
  useKeys();
  const dialog = useRef<HTMLDialogElement>(null);
  const [on, setOn] = useState(keysAreOn);
  const turn = (value: boolean) => {
    setOn(value);
    try {
      localStorage.setItem(KEPT, value ? "on" : "off");
    } catch {
      // Storage is off: the keys stay on.
    }
  };
  return (
    <>
      <Button
        quiet
        data-key="?"
        aria-label="Keys"
        title="Keys (?)"
        onClick={() => dialog.current?.showModal()}
      >
        ?
      </Button>
      <dialog ref={dialog} className={styles.help} aria-labelledby="help-title">
        <div className={styles.head}>
          <h2 id="help-title">Keys</h2>
          <Button quiet aria-label="Close" onClick={() => dialog.current?.close()}>
            ×
          </Button>
        </div>
        <dl className={styles.keys} data-off={!on}>
          {KEYS.map(([key, meaning]) => (
            <div key={key}>
              <dt>
                {key.split(" ").map((one) => (
                  <kbd key={one}>{one}</kbd>
                ))}
              </dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
        <p className="muted">
          Drag over a chart to zoom, double-click to undo it; click to see the requests. In a chart, the left
          and right arrow keys move its cursor.
        </p>
        <label className={styles.switch}>
          <input type="checkbox" checked={on} onChange={(event) => turn(event.target.checked)} /> Single keys
          are on
        </label>
      </dialog>
    </>
  );
}
