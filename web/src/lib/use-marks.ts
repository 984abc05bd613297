// The marks of the view's range. One that somebody else sets shows within a minute.
import { useRpc } from "../api/use-rpc.ts";
import { useScope, useView } from "./view.ts";

export function useMarks() {
  const scope = useScope();
  const [{ span }] = useView();
  return useRpc("ListMarks", [span], () => ({ range: scope.range() }), { past: true });
}
