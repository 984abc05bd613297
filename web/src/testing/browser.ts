// jsdom knows no popovers: tests open one by the events that a browser sends.
import { act } from "@testing-library/react";

/** Opens the popover of a button. */
export function openPopover(button: HTMLElement): void {
  const box = button.nextElementSibling as HTMLElement;
  box.hidePopover ??= () => {};
  for (const name of ["beforetoggle", "toggle"])
    act(() => {
      box.dispatchEvent(Object.assign(new Event(name), { newState: "open", oldState: "closed" }));
    });
}

/** Files that the page hands to the browser, by their names. */
export function catchDownloads(): Map<string, Promise<string>> {
  const files = new Map<string, Promise<string>>();
  let content: Blob | undefined;
  URL.createObjectURL = (blob) => {
    content = blob as Blob;
    return "blob:file";
  };
  URL.revokeObjectURL = () => {};
  HTMLAnchorElement.prototype.click = function click(this: HTMLAnchorElement) {
    if (this.download && content) files.set(this.download, content.text());
  };
  return files;
}
