// The models that are compared side by side, as the URL has them.
import { useCallback, useMemo } from "react";
import { list, useView } from "./view.ts";

const KEY = "pick";
/** So many models are told apart at a glance. */
export const MOST = 4;
/** One alone is compared with nothing. */
export const LEAST = 2;

export interface Picks {
  picks: string[];
  toggle: (model: string) => void;
  clear: () => void;
}

export function usePicks(): Picks {
  const [view, setView] = useView();
  const text = view.get(KEY);
  const picks = useMemo(() => [...new Set(list(text))].slice(0, MOST), [text]);
  const toggle = useCallback(
    (model: string) =>
      setView(
        {
          [KEY]: picks.includes(model)
            ? picks.filter((one) => one !== model)
            : [...picks, model].slice(0, MOST),
        },
        true,
      ),
    [picks, setView],
  );
  const clear = useCallback(() => setView({ [KEY]: null }, true), [setView]);
  return { picks, toggle, clear };
}
