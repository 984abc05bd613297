// axe-core in the page: every rule of WCAG 2.2 A and AA, and best practices.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What axe finds wrong, in words; empty when all is well. */
export async function axeFaults(page) {
  // Evaluated by the browser's debugger, since the content security policy lets no script in.
  await page.evaluate(source);
  const { violations } = await page.evaluate(
    (tags) => window.axe.run(document, { runOnly: tags, resultTypes: ["violations"] }),
    TAGS,
  );
  return violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ target, html, failureSummary }) => {
      const why = failureSummary.split("\n").slice(1).join(" ").trim();
      return `${impact} ${id} at ${target.join(" ")}: ${html.slice(0, 160)} (${why.slice(0, 200)})`;
    }),
  );
}
