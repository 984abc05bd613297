// Views that were saved under a name, and the marks of the range.
import { lazy, Suspense } from "react";
import { Icon } from "../components/icon.tsx";
import { Popover } from "../components/popover.tsx";

const Choices = lazy(() => import("./views-choices.tsx"));

export function Views() {
  return (
    <Popover
      quiet
      name="Views and marks"
      shortcut="v"
      label={
        <Icon>
          <path d="M4 2.5h8v11l-4-3-4 3z" />
        </Icon>
      }
    >
      {(close) => (
        <Suspense>
          <Choices onDone={close} />
        </Suspense>
      )}
    </Popover>
  );
}
