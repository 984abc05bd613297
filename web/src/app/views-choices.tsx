// Views that were saved under a name, and the marks of the range: whoever reads sees
// them, admins save and delete.
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import { call } from "../api/transport.ts";
import type { Payload, Procedure } from "../api/types.ts";
import { useRpc } from "../api/use-rpc.ts";
import { Button } from "../components/button.tsx";
import { dateTime } from "../lib/format.ts";
import { useMarks } from "../lib/use-marks.ts";
import { useWrites } from "../lib/use-writes.ts";
import { useView } from "../lib/view.ts";
import styles from "./views-choices.module.css";

export default function ViewsChoices({ onDone }: { onDone: () => void }) {
  const [view] = useView();
  const views = useRpc("ListViews", [], () => ({}), { past: true });
  const marks = useMarks();
  const writes = useWrites();
  const { write, refused } = useWrite();
  return (
    <div className={styles.choices}>
      <section aria-label="Views">
        <h2>Views</h2>
        <List empty="No view was saved">
          {views.data?.views.map(({ name, path }) => (
            <li key={name}>
              <Link href={path} className="cut" onClick={onDone}>
                {name}
              </Link>
              {writes ? (
                <Remove
                  what={`the view ${name}`}
                  onClick={() => void write("DeleteView", { name }, "ListViews")}
                />
              ) : null}
            </li>
          ))}
        </List>
        {writes ? (
          <Form
            label="Name of this view"
            button="Save"
            most={80}
            onText={(name) => write("SaveView", { name, path: here() }, "ListViews")}
          />
        ) : null}
      </section>
      <section aria-label="Marks">
        <h2>Marks of this range</h2>
        <List empty="No mark was set in this range">
          {marks.data?.marks.map(({ markId, markedAt, text, link }) => (
            <li key={markId}>
              <span>
                {link ? (
                  <a href={link} target="_blank" rel="noreferrer">
                    {text}
                  </a>
                ) : (
                  text
                )}{" "}
                <span className="muted">{dateTime(markedAt, view.zone)}</span>
              </span>
              {writes ? (
                <Remove
                  what={`the mark ${text}`}
                  onClick={() => void write("DeleteMark", { markId }, "ListMarks")}
                />
              ) : null}
            </li>
          ))}
        </List>
        {writes ? (
          <Form
            label="What happens now"
            button="Set a mark"
            most={200}
            onText={(text) => write("AddMark", { text }, "ListMarks")}
          />
        ) : null}
      </section>
      {refused ? <p role="alert">{refused}</p> : null}
    </div>
  );
}

/** The page with its range, filters and columns; not its page number, nor how it asks. */
function here(): string {
  const params = new URLSearchParams(location.search);
  for (const key of ["page", "via"]) params.delete(key);
  return params.size > 0 ? `${location.pathname}?${params}` : location.pathname;
}

/** Writes, then asks again for what was listed; true if it was written. */
function useWrite() {
  const client = useQueryClient();
  const [refused, setRefused] = useState("");
  const write = async <P extends Procedure>(tag: P, payload: Payload<P>, listed: Procedure) => {
    try {
      await call(tag, payload);
      setRefused("");
    } catch (error) {
      setRefused((error as Error).message);
      return false;
    }
    await client.invalidateQueries({ queryKey: [listed] });
    return true;
  };
  return { write, refused };
}

function List({ empty, children }: { empty: string; children: ReactNode[] | undefined }) {
  if (children?.length === 0) return <p className="muted">{empty}</p>;
  return <ul>{children}</ul>;
}

function Remove({ what, onClick }: { what: string; onClick: () => void }) {
  return (
    <Button quiet aria-label={`Delete ${what}`} onClick={onClick}>
      ×
    </Button>
  );
}

function Form(props: {
  label: string;
  button: string;
  most: number;
  onText: (text: string) => Promise<boolean>;
}) {
  const [text, setText] = useState("");
  const send = async () => {
    if (text.trim() && (await props.onText(text.trim()))) setText("");
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <input
        aria-label={props.label}
        placeholder={props.label}
        maxLength={props.most}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <Button type="submit">{props.button}</Button>
    </form>
  );
}
