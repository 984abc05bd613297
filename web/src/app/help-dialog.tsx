// The list of keys, and the switch that turns them off.
import { useEffect, useRef, useState } from "react";
import { Button } from "../components/panel.tsx";
import { keysAreOn, turnKeys } from "../lib/keys.ts";
import styles from "./help.module.css";

const KEYS = [
  ["g o", "Overview"],
  ["g t", "Throughput"],
  ["g m", "Models"],
  ["g b", "Breakdown"],
  ["g s", "Sessions"],
  ["g r", "Requests"],
  ["t", "Time range"],
  ["[ ]", "One range back, one on"],
  ["z", "Undo a zoom"],
  ["f /", "Filter, search values"],
  ["v", "Views and marks"],
  ["c", "Copy a link with this range"],
  ["l", "Live or paused"],
  ["j k", "Down and up in a list of requests"],
  ["Enter", "Open the request"],
  ["e", "Export the first chart or table"],
  ["d", "Dark or light"],
  ["?", "This list"],
] as const;

export default function HelpDialog({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [on, setOn] = useState(keysAreOn);
  useEffect(() => {
    if (dialog.current && !dialog.current.open) dialog.current.showModal();
  }, []);
  const turn = (value: boolean) => {
    setOn(value);
    turnKeys(value);
  };
  return (
    <dialog ref={dialog} className={styles.help} aria-labelledby="help-title" onClose={onClose}>
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
      <p className="muted">modash {import.meta.env.MODASH_VERSION}</p>
    </dialog>
  );
}
