// Whether the reader may save views, set marks and give names.
import { useQuery } from "@tanstack/react-query";
import { session } from "../api/session.ts";

/** Everybody may where nobody has to sign in. */
export function useWrites(): boolean {
  const { data } = useQuery({ queryKey: ["session"], queryFn: session, meta: { past: true } });
  return data?.writes ?? data === null;
}
