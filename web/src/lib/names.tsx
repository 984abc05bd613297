// Names that admins gave to client keys, users and values of tags. The page asks for
// all of them once; whatever shows one of these shows its name.
import { createContext, type ReactNode, useContext, useMemo } from "react";
import type { NamedKind } from "../api/types.ts";
import { useRpc } from "../api/use-rpc.ts";

/** What can have a name, by the key of its filter. */
export const KINDS: Record<string, NamedKind> = {
  client: "NAMED_KIND_CLIENT_KEY",
  user: "NAMED_KIND_USER",
  tag: "NAMED_KIND_TAG",
};

/** Names by the filter for what has them: "client 9f2c41aa07be6d13", "tag team:search". */
export type Names = ReadonlyMap<string, string>;

const NamesContext = createContext<Names>(new Map());
export const useNames = (): Names => useContext(NamesContext);

/** One that somebody else gives shows within a minute. */
export function NamesProvider({ children }: { children: ReactNode }) {
  const { data } = useRpc("ListNames", [], () => ({}), { past: true });
  const names = useMemo(
    () =>
      new Map(
        data?.names.map(({ kind, id, name }) => {
          const by = Object.keys(KINDS).find((key) => KINDS[key] === kind);
          // The contract parts the name and the value of a tag by "=", filters by ":".
          return [`${by} ${by === "tag" ? id.replace("=", ":") : id}`, name];
        }),
      ),
    [data],
  );
  return <NamesContext value={names}>{children}</NamesContext>;
}

/** The name of a filter's value, else the value. */
export const nameOf = (names: Names, key: string, value: string): string =>
  names.get(`${key.replace("not.", "")} ${value}`) ?? value;
