// Runs inside the page: what keeps people with a screen reader or a keyboard
// from using it. Returns a list of faults, empty when all is well.
export function accessibilityFaults() {
  const faults = [];
  const visible = (element) => element.checkVisibility({ visibilityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  const describe = (element) => element.outerHTML.slice(0, 120);

  if (!document.documentElement.lang) faults.push("the page names no language");
  if (!document.title) faults.push("the page has no title");
  for (const landmark of ["header", "main", "nav"]) {
    if (all(landmark).length === 0) faults.push(`there is no ${landmark}`);
  }
  const first = document.querySelectorAll("h1").length;
  if (first !== 1) faults.push(`there are ${first} first headings`);

  const name = (element) => {
    const referenced = (element.getAttribute("aria-labelledby") ?? "")
      .split(/\s+/)
      .map((id) => (id ? document.getElementById(id)?.textContent : ""))
      .join("");
    const labels = [...(element.labels ?? [])].map((label) => label.textContent).join("");
    return (
      element.getAttribute("aria-label") ||
      referenced ||
      labels ||
      element.textContent ||
      element.title
    ).trim();
  };
  for (const element of all(
    "a, button, input, select, [role=dialog], [role=group], section, nav, [tabindex='0']",
  )) {
    if (!name(element)) faults.push(`without a name: ${describe(element)}`);
  }
  for (const image of all("img:not([alt]), svg:not([aria-hidden=true]):not([role=img])")) {
    faults.push(`neither hidden nor described: ${describe(image)}`);
  }
  for (const table of all("table")) {
    if (!table.querySelector("th[scope]")) faults.push(`a table without heads: ${describe(table)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) {
    if (ids.filter((other) => other === id).length > 1) faults.push(`the id ${id} is there twice`);
  }
  for (const element of all("[tabindex]")) {
    if (element.tabIndex > 0) faults.push(`out of the order of the page: ${describe(element)}`);
  }
  for (const element of all("button, a, select, input[type=checkbox]")) {
    const { width, height } = (element.closest("label") ?? element).getBoundingClientRect();
    const inText = element.tagName === "A" && getComputedStyle(element).display === "inline";
    const covered =
      element.querySelector(":scope > *") === null &&
      getComputedStyle(element, "::after").position === "absolute";
    if (!inText && !covered && width > 1 && (width < 24 || height < 24)) {
      faults.push(`a target of ${Math.round(width)} × ${Math.round(height)}: ${describe(element)}`);
    }
  }
  return faults;
}
