// A request opens at an address of its own, and closes to the page that it was
// opened from. Neither the way back nor Escape shows it again.
import { useCallback } from "react";
import { useLocation } from "wouter";

/** Kept in the history's entry of the opened request. */
interface Opened {
  from: string;
}

/** The same function from one render to the next, so that rows are not drawn anew. */
export function useOpenRequest(): (event: { eventId: string }) => void {
  const [path, navigate] = useLocation();
  const from = path.startsWith("/requests") ? "/requests" : path;
  return useCallback(
    (event) => navigate(`/requests/${event.eventId}${location.search}`, { state: { from } satisfies Opened }),
    [navigate, from],
  );
}

export function useCloseRequest(): () => void {
  const [, navigate] = useLocation();
  return useCallback(() => {
    const from = (history.state as Opened | null)?.from ?? "/requests";
    navigate(`${from}${location.search}`, { replace: true });
  }, [navigate]);
}
