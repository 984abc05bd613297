// Status in three ways at once: icon, word and colour.
import styles from "./status.module.css";

export type Tone = "ok" | "error" | "cancelled" | "running";

const ICONS: Record<Tone, string> = {
  ok: "M4.5 8.5 7 11l4.5-5.5",
  error: "M5.5 5.5l5 5M10.5 5.5l-5 5",
  cancelled: "M5 8h6",
  running: "",
};

export function Status({ tone, text, title }: { tone: Tone; text: string; title?: string | undefined }) {
  return (
    <span className={styles.status} data-tone={tone} title={title}>
      <svg aria-hidden="true" width="14" height="14" viewBox="0 0 16 16" fill="none" strokeWidth="1.6">
        {tone === "running" ? (
          <circle cx="8" cy="8" r="3.5" fill="currentColor" className={styles.pulse} />
        ) : (
          <path d={ICONS[tone]} stroke="currentColor" strokeLinecap="round" strokeLinejoin="round" />
        )}
      </svg>
      <span className="cut">{text}</span>
    </span>
  );
}
