// A button with a native popover below it, kept inside the window.
import { type ReactNode, useId, useRef } from "react";
import styles from "./popover.module.css";
import { Button } from "./panel.tsx";

export function Popover(props: {
  label: ReactNode;
  name: string;
  quiet?: boolean;
  children: (close: () => void) => ReactNode;
}) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const place = (event: React.ToggleEvent<HTMLDivElement>) => {
    if (event.newState !== "open" || !button.current || !box.current) return;
    const { left, bottom } = button.current.getBoundingClientRect();
    const width = Math.min(360, innerWidth - 16);
    box.current.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
    box.current.style.top = `${bottom + 6}px`;
  };
  return (
    <>
      <Button ref={button} quiet={props.quiet ?? false} popoverTarget={id} aria-label={props.name}>
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
      >
        {props.children(() => box.current?.hidePopover?.())}
      </div>
    </>
  );
}
