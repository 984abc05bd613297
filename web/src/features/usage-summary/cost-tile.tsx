// What the requests of the range cost, as far as it is known.
import type { Cost } from "../../api/types.ts";
import { Sparkline } from "../../components/sparkline.tsx";
import { costText } from "../../lib/cost.ts";
import { costTitle, exactDollars, savingWords, unknownShare } from "../../lib/cost-words.ts";
import { change, percent } from "../../lib/format.ts";
import { useHref } from "../../lib/view.ts";
import { Change, Tile } from "./usage-summary-tiles.tsx";

export default function CostTile(props: { cost: Cost; before: number | null; trend: number[] | undefined }) {
  const { cost, before } = props;
  const href = useHref();
  const sub = [
    cost.unknownRequests > 0 && `${percent(unknownShare(cost))} unknown`,
    savingWords(cost.cacheSavingNanoUsd),
  ]
    .filter(Boolean)
    .join(" · ");
  return (
    <Tile
      label="Cost"
      href={href("/", {}, { metric: "cost" })}
      value={costText(cost)}
      title={costTitle(cost)}
      change={<Change difference={change(cost.nanoUsd, before)} before={exactDollars(before)} />}
      sub={<span title={sub}>{sub}</span>}
      chart={<Sparkline values={props.trend ?? []} color="var(--cost)" />}
    />
  );
}
