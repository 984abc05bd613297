// What a request cost, in words: the amount, who bills it, and where it comes from or why
// it is unknown.
import type { UsageEvent } from "../../api/types.ts";
import { SET_PRICE } from "../../lib/cost.ts";
import { exactDollars, savingWords, withDollars } from "../../lib/cost-words.ts";
import { UNKNOWN } from "../../lib/format.ts";

interface Facts {
  facts: [name: string, value: string][];
  note: string;
}

export function costFacts(event: UsageEvent): Facts {
  const { cost } = event;
  const saved = savingWords(cost?.cacheSavingNanoUsd);
  const amount =
    cost?.source === "COST_SOURCE_NOT_DUE"
      ? "nothing due"
      : cost?.nanoUsd == null
        ? "unknown"
        : `${cost.source === "COST_SOURCE_ESTIMATED" ? "≈ " : ""}${withDollars(cost.nanoUsd, exactDollars)}`;
  return {
    facts: [
      ["Amount", amount],
      ["Provider", cost?.provider ?? UNKNOWN],
      ["Price list", cost?.priceVersion ?? UNKNOWN],
      ...(saved ? ([["Cache", saved]] as Facts["facts"]) : []),
    ],
    note: sourceOf(event),
  };
}

function sourceOf({ cost, ...event }: UsageEvent): string {
  switch (cost?.source) {
    case "COST_SOURCE_UPSTREAM":
      return "Reported by the upstream";
    case "COST_SOURCE_TABLE":
      return `By the price list ${cost.priceVersion ?? ""}`.trim();
    case "COST_SOURCE_ESTIMATED":
      return `By the price list ${cost.priceVersion ?? ""}, from counts that are estimated or incomplete`;
    case "COST_SOURCE_NOT_DUE":
      return "The request consumed nothing, or its counts come with another one";
    case "COST_SOURCE_UNKNOWN":
      return why(event, cost.provider);
    default:
      return "The request was stored before costs were recorded";
  }
}

/** The likeliest reason: the first that applies. */
function why(event: Omit<UsageEvent, "cost">, provider: string | null): string {
  const model = event.model ?? event.modelRequested;
  if (event.usageSource === "USAGE_SOURCE_NOT_REPORTED" || event.usageSource === "USAGE_SOURCE_UNPARSEABLE")
    return "Unknown: the answer carried no token counts";
  if (model === null) return "Unknown: neither the request nor the answer names a model";
  if (provider === null)
    return `Unknown: the upstream "${event.upstream}" belongs to no known provider, so its models have no built-in price. ${SET_PRICE}`;
  return `Unknown: the price list has no price of ${provider} for "${model}", or the price needs a count that was not reported. ${SET_PRICE}`;
}
