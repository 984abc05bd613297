// Pages, the controls that govern them, and the state of the connection.

import { useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { useLiveValue } from "../api/live.ts";
import { Icon } from "../components/icon.tsx";
import { Button } from "../components/panel.tsx";
import { useIncomplete } from "../features/completeness/use-completeness.ts";
import { serverNow } from "../lib/clock.ts";
import { time } from "../lib/format.ts";
import { setTheme, useTheme } from "../lib/theme.ts";
import { absolute, resolve } from "../lib/time-range.ts";
import { useHref, useView } from "../lib/view.ts";
import styles from "./app.module.css";
import { Connection } from "./connection.tsx";
import { FilterButton } from "./filters.tsx";
import { Help } from "./help.tsx";
import { RangePicker } from "./range-picker.tsx";
import { SignedIn } from "./signed-in.tsx";
import { Views } from "./views.tsx";

const PAGES = [
  ["/", "Overview", "g o"],
  ["/throughput", "Throughput", "g t"],
  ["/models", "Models", "g m"],
  ["/breakdown", "Breakdown", "g b"],
  ["/sessions", "Sessions", "g s"],
  ["/requests", "Requests", "g r"],
] as const;

export function TopBar(props: {
  pausedAt: number | null;
  newer: boolean;
  onPause: (paused: boolean) => void;
}) {
  const [location] = useLocation();
  const [view] = useView();
  const href = useHref(true);
  const isCurrent = (path: string) => (path === "/" ? location === "/" : location.startsWith(path));
  const title = view.model ?? PAGES.find(([path]) => isCurrent(path))?.[1];
  useEffect(() => {
    document.title = title ? `${title} – modash` : "modash";
  }, [title]);
  const pages = useRef<HTMLElement>(null);
  // On a narrow screen the pages are a row that scrolls: the present one is in its middle.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page is another place
  useEffect(() => {
    const row = pages.current;
    const link = row?.querySelector<HTMLElement>("[aria-current]");
    if (row && link) row.scrollLeft = link.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
  }, [location]);
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
      <nav ref={pages} aria-label="Pages" className={styles.pages}>
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
        <Views />
        <CopyLink />
      </div>
      <div className={styles.end}>
        <DeliveryWarning />
        <Connection />
        <ThemeButton />
        <SignedIn />
        <Help />
      </div>
    </header>
  );
}

/** Only while the data is not complete: the account of each proxy is on the page of requests. */
function DeliveryWarning() {
  const incomplete = useIncomplete();
  const href = useHref(true);
  if (!incomplete) return null;
  return (
    <Link
      className={styles.warning}
      data-lossy={incomplete.lossy}
      href={`${href("/requests")}#delivery`}
      title="See Delivery"
      onClick={() => document.getElementById("delivery")?.scrollIntoView()}
    >
      {incomplete.text}
    </Link>
  );
}

function LiveSwitch(props: {
  pausedAt: number | null;
  newer: boolean;
  endsNow: boolean;
  onPause: (paused: boolean) => void;
}) {
  const connection = useLiveValue("connection");
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

/** The same page for others: a range that ends now is written with both its ends. */
function CopyLink() {
  const [view] = useView();
  const [copied, setCopied] = useState(false);
  if (!navigator.clipboard) return null;
  const copy = async () => {
    const url = new URL(location.href);
    for (const [key, value] of Object.entries(absolute(resolve(view.span, serverNow()))))
      url.searchParams.set(key, value);
    await navigator.clipboard.writeText(url.href);
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  };
  return (
    <Button
      quiet
      data-key="c"
      aria-label="Copy a link with this range"
      title="Copy a link with this range (c)"
      onClick={() => void copy()}
    >
      {copied ? (
        <span role="status">Copied</span>
      ) : (
        <Icon>
          <path d="M6.5 9.5l3-3M7 4.5l1.2-1.2a3 3 0 0 1 4.3 4.3L11.3 8.8M9 11.5l-1.2 1.2a3 3 0 0 1-4.3-4.3l1.2-1.2" />
        </Icon>
      )}
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
      <Icon>
        <circle cx="8" cy="8" r="6" />
        <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" stroke="none" />
      </Icon>
    </Button>
  );
}
