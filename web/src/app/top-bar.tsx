// Pages, the controls that govern them, and the state of the connection.
import { useEffect } from "react";
import { Link, useLocation } from "wouter";
import { useLive } from "../api/live.ts";
import { Button } from "../components/panel.tsx";
import { time } from "../lib/format.ts";
import { setTheme, useTheme } from "../lib/theme.ts";
import { useHref, useView } from "../lib/view.ts";
import styles from "./app.module.css";
import { Connection } from "./connection.tsx";
import { FilterButton } from "./filters.tsx";
import { Help } from "./help.tsx";
import { RangePicker } from "./range-picker.tsx";

const PAGES = [
  ["/", "Overview", "g o"],
  ["/throughput", "Throughput", "g t"],
  ["/models", "Models", "g m"],
  ["/requests", "Requests", "g r"],
] as const;

export function TopBar(props: {
  pausedAt: number | null;
  newer: boolean;
  onPause: (paused: boolean) => void;
}) {
  const [location] = useLocation();
  const [view] = useView();
  const href = useHref();
  const isCurrent = (path: string) => (path === "/" ? location === "/" : location.startsWith(path));
  const title = PAGES.find(([path]) => isCurrent(path))?.[1];
  useEffect(() => {
    document.title = title ? `${title} – modash` : "modash";
  }, [title]);
  return (
    <header className={styles.bar}>
      <Link href={href("/")} className={styles.brand} aria-label="modash">
        <svg aria-hidden="true" width="22" height="22" viewBox="0 0 32 32" fill="none" strokeWidth="3">
          <path
            d="M4 22h4.5l3.5-14 5.5 17 4-12 2 9H28"
            stroke="currentColor"
            strokeLinecap="round"
            strokeLinejoin="round"
          />
        </svg>
        modash
      </Link>
      <nav aria-label="Pages" className={styles.pages}>
        {PAGES.map(([path, name, key]) => (
          <Link
            key={path}
            data-key={key}
            href={href(path)}
            aria-current={isCurrent(path) ? "page" : undefined}
          >
            {name}
          </Link>
        ))}
      </nav>
      <div className={styles.controls}>
        <RangePicker />
        <FilterButton />
        <LiveSwitch {...props} endsNow={view.span.to === "now"} />
      </div>
      <div className={styles.end}>
        <Connection />
        <ThemeButton />
        <Help />
      </div>
    </header>
  );
}

function LiveSwitch(props: {
  pausedAt: number | null;
  newer: boolean;
  endsNow: boolean;
  onPause: (paused: boolean) => void;
}) {
  const { connection } = useLive();
  const on = props.endsNow && props.pausedAt === null;
  return (
    <Button
      quiet
      role="switch"
      data-key="l"
      aria-checked={on}
      disabled={!props.endsNow}
      className={styles.live}
      title={props.endsNow ? (on ? "Pause" : "Go on") : "The range does not end now"}
      onClick={() => props.onPause(on)}
    >
      <i data-on={on && connection === "open"} />
      {props.pausedAt === null
        ? "Live"
        : `Paused at ${time(props.pausedAt)}${props.newer ? " · newer data" : ""}`}
    </Button>
  );
}

function ThemeButton() {
  const theme = useTheme();
  const other = theme === "dark" ? "light" : "dark";
  return (
    <Button
      quiet
      data-key="d"
      aria-label={`Use the ${other} theme`}
      title={`Use the ${other} theme`}
      onClick={() => setTheme(other)}
    >
      <svg
        aria-hidden="true"
        width="16"
        height="16"
        viewBox="0 0 16 16"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.5"
      >
        <circle cx="8" cy="8" r="6" />
        <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" stroke="none" />
      </svg>
    </Button>
  );
}
