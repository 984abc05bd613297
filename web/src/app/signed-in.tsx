// Who is signed in, what they see, and the way out. Where nobody has to sign in there
// is nothing.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { session, signOut } from "../api/session.ts";
import { Icon } from "../components/icon.tsx";
import { Button } from "../components/panel.tsx";
import { Popover } from "../components/popover.tsx";

export function SignedIn() {
  const { data } = useQuery({ queryKey: ["session"], queryFn: session, meta: { past: true } });
  const [failed, setFailed] = useState(false);
  if (!data) return null;
  const person = (
    <Icon>
      <circle cx="8" cy="5.5" r="2.75" />
      <path d="M2.5 14a5.5 5.5 0 0 1 11 0" />
    </Icon>
  );
  return (
    <Popover quiet name={`Signed in as ${data.name}`} label={person}>
      {() => (
        <>
          <p>
            Signed in as <strong>{data.name}</strong>, sees {data.sees}.
          </p>
          <Button data-autofocus onClick={() => void signOut().then((done) => setFailed(!done))}>
            Sign out
          </Button>
          {failed ? <p role="alert">The gateway did not answer; try again.</p> : null}
        </>
      )}
    </Popover>
  );
}
