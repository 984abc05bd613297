// Whether single keys do anything, as the reader chose in this browser.
const KEPT = "modash-keys";

export const keysAreOn = (): boolean => {
  try {
    return localStorage.getItem(KEPT) !== "off";
  } catch {
    return true;
  }
};

export function turnKeys(on: boolean): void {
  try {
    localStorage.setItem(KEPT, on ? "on" : "off");
  } catch {
    // Storage is off: the keys stay on.
  }
}
