// The keys of the dashboard. A control that has a key says
// so by data-key, and the key does what a click on it does.
import { lazy, Suspense, useEffect, useState } from "react";
import { Button } from "../components/panel.tsx";
import { keysAreOn } from "../lib/keys.ts";
import { useZoom } from "../lib/zoom.ts";

const HelpDialog = lazy(() => import("./help-dialog.tsx"));

const SEQUENCE_MS = 1_000;

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
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button quiet data-key="?" aria-label="Keys" title="Keys (?)" onClick={() => setOpen(true)}>
        ?
      </Button>
      {open ? (
        <Suspense>
          <HelpDialog onClose={() => setOpen(false)} />
        </Suspense>
      ) : null}
    </>
  );
}
