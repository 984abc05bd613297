// A pencil beside a client key, user or value of a tag, where the reader may name it.
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { call } from "../api/transport.ts";
import { KINDS, useNames } from "../lib/names.tsx";
import { useWrites } from "../lib/use-writes.ts";
import { Icon } from "./icon.tsx";
import styles from "./rename.module.css";

/** `by` and `value` are a filter on it; `children` is what shows it. */
export function Rename({ by, value, children }: { by: string; value: string; children: ReactNode }) {
  const client = useQueryClient();
  const names = useNames();
  const writes = useWrites();
  const [open, setOpen] = useState(false);
  const [refused, setRefused] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const pencil = useRef<HTMLButtonElement>(null);
  const was = useRef(false);
  useEffect(() => {
    if (open) {
      field.current?.focus();
      field.current?.select();
    } else if (was.current) pencil.current?.focus();
    was.current = open;
  }, [open]);
  const kind = KINDS[by];
  if (!kind || !writes) return children;
  const turn = (on: boolean) => {
    setRefused("");
    setOpen(on);
  };
  const save = async (name: string) => {
    try {
      await call("SetName", { kind, id: by === "tag" ? value.replace(":", "=") : value, name: name.trim() });
      await client.invalidateQueries({ queryKey: ["ListNames"] });
      turn(false);
    } catch (error) {
      setRefused((error as Error).message);
    }
  };
  if (!open)
    return (
      <span className={styles.named}>
        {children}
        <button
          ref={pencil}
          type="button"
          aria-label={`Name ${value}`}
          title="Name"
          onClick={() => turn(true)}
        >
          <Icon>
            <path d="M3 13l.7-3 6.8-6.8 2.3 2.3L6 12.3z" />
          </Icon>
        </button>
      </span>
    );
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        void save(field.current?.value ?? "");
      }}
    >
      <input
        ref={field}
        aria-label={`Name of ${value}`}
        placeholder={value}
        defaultValue={names.get(`${by} ${value}`)}
        maxLength={80}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          // It leaves the field alone, and not the drawer around it.
          event.preventDefault();
          turn(false);
        }}
      />
      {refused ? <p role="alert">{refused}</p> : null}
    </form>
  );
}
