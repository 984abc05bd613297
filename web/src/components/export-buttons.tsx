// CSV and JSON of what a table shows.
import { type Cell, download, toCsv } from "../lib/download.ts";
import { Button } from "./panel.tsx";

export function ExportButtons(props: { file: string; names: string[]; rows: () => Cell[][] }) {
  const { file, names, rows } = props;
  const json = () => {
    const objects = rows().map((row) => Object.fromEntries(names.map((name, at) => [name, row[at] ?? null])));
    download(`${file}.json`, "application/json", `${JSON.stringify(objects, null, 2)}\n`);
  };
  return (
    <span>
      <Button
        quiet
        data-key="e"
        title="Download as CSV"
        onClick={() => download(`${file}.csv`, "text/csv", toCsv(names, rows()))}
      >
        CSV
      </Button>
      <Button quiet title="Download as JSON" onClick={json}>
        JSON
      </Button>
    </span>
  );
}
