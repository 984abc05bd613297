// Who is signed in. When a session ends, the page goes where one signs in.
import { send } from "./rpc.ts";

/** Who is signed in, by the name of the token, what they see, and whether they may write views and marks. */
export interface Session {
  name: string;
  sees: string;
  writes: boolean;
}

/** Where the browser goes; tests look. */
export const browser = {
  go: (url: string) => location.assign(url),
  reload: () => location.reload(),
};

/** Whether this page is left for good: what it asked for meanwhile is refused, and must not lead back to it. */
let signingOut = false;

/** The page where one signs in, and then comes back to this one. */
export function signInAgain(): void {
  if (signingOut) return;
  browser.go(`/sign-in?to=${encodeURIComponent(location.pathname + location.search)}`);
}

/** `null`: nobody has to sign in here, or the gateway cannot say. */
export async function session(): Promise<Session | null> {
  try {
    const answer = (await (await send("/session")).json()) as Partial<Session>;
    return answer.name === undefined
      ? null
      : { name: answer.name, sees: answer.sees ?? "", writes: answer.writes ?? false };
  } catch {
    return null;
  }
}

/** Ends the session; true if the gateway said so. */
export async function signOut(): Promise<boolean> {
  signingOut = true;
  try {
    // No form can send this header.
    const { ok, status } = await send("/session", { method: "DELETE", headers: { "x-modash-request": "1" } });
    // 401: somebody else was quicker.
    signingOut = ok || status === 401;
  } catch {
    signingOut = false;
  }
  if (!signingOut) return false;
  // The browser may show the page again as it was left.
  addEventListener("pageshow", () => (signingOut = false), { once: true });
  browser.go("/sign-in");
  return true;
}
