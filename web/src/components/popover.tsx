// A button with a native popover below it, kept inside the window. Once it is open,
// the focus goes to its field with data-autofocus.
import { type ReactNode, useId, useRef, useState } from "react";
import { Button } from "./panel.tsx";
import styles from "./popover.module.css";

export function Popover(props: {
  label: ReactNode;
  name: string;
  /** The key that opens it. */
  shortcut?: string;
  quiet?: boolean;
  disabled?: boolean;
  /** The label is a value, which is read out after the name. */
  says?: boolean;
  children: (close: () => void) => ReactNode;
}) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const place = (event: React.ToggleEvent<HTMLDivElement>) => {
    setOpen(event.newState === "open");
    if (event.newState !== "open" || !button.current || !box.current) return;
    const { left, bottom } = button.current.getBoundingClientRect();
    const width = Math.min(360, innerWidth - 16);
    box.current.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
    box.current.style.top = `${bottom + 6}px`;
  };
  return (
    <>
      <Button
        ref={button}
        quiet={props.quiet ?? false}
        data-key={props.shortcut}
        disabled={props.disabled ?? false}
        popoverTarget={id}
        aria-label={props.says ? undefined : props.name}
      >
        {props.says ? <span className="hidden">{props.name}: </span> : null}
        {props.label}
      </Button>
      <div
        ref={box}
        id={id}
        popover="auto"
        role="dialog"
        aria-label={props.name}
        className={styles.popover}
        onBeforeToggle={place}
        onToggle={(event) => {
          if (event.newState === "open") box.current?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
        }}
      >
        {open ? props.children(() => box.current?.hidePopover()) : null}
      </div>
    </>
  );
}
