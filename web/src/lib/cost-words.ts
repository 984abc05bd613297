// Costs in words: exactly, what a sum lacks and guesses, and what caches saved. Loaded
// with the first cost that is shown.
import type { Cost } from "../api/types.ts";
import {
  amount,
  currency,
  dollars,
  inDollars,
  knownCost,
  money,
  NANO,
  rateWords,
  SET_PRICE,
} from "./cost.ts";
import type { Cell } from "./download.ts";
import { exact, percent, UNKNOWN } from "./format.ts";

type Maybe = number | null | undefined;

/** Every digit. */
export const exactDollars = (nano: Maybe): string => (nano == null ? UNKNOWN : amount(nano / NANO, 9));

/** "€0.39 ($0.42)": for where no title tells the dollars. */
export const withDollars = (nano: Maybe, inFull = dollars): string => {
  const full = inFull(nano);
  return nano == null || currency().code === "USD" ? full : `${money(nano)} (${full})`;
};

/** What caches saved, where they were used and it is known. */
export const savedText = (cost: Cost | null | undefined): string =>
  cost?.cacheSavingNanoUsd ? money(cost.cacheSavingNanoUsd) : UNKNOWN;

/** What caches saved in dollars, with every digit. */
export const savedTitle = (nano: Maybe): string =>
  nano ? `${exactDollars(nano)} saved by caches of prompts` : "Saved by caches of prompts";

/** Share of the requests whose cost is unknown. */
export const unknownShare = ({ knownRequests, unknownRequests }: Cost): number =>
  unknownRequests / Math.max(1, knownRequests + unknownRequests);

const requests = (count: number): string => (count === 1 ? "one request" : `${exact(count)} requests`);

/** A sum in a sentence, with all that it lacks and what it guesses. */
export function costTitle(cost: Cost | null | undefined): string {
  if (!cost) return "The cost is not known";
  const { knownRequests: known, unknownRequests: unknown, estimatedRequests: estimated } = cost;
  if (known === 0) return unknown > 0 ? `The cost is unknown. ${SET_PRICE}` : "Nothing is due";
  const parts = [`${unknown > 0 ? "At least " : estimated > 0 ? "About " : ""}${exactDollars(cost.nanoUsd)}`];
  if (unknown > 0) parts.push(`the cost of ${requests(unknown)} (${percent(unknownShare(cost))}) is unknown`);
  if (estimated > 0) parts.push(`that of ${requests(estimated)} is an estimate`);
  return [...parts, rateWords()].filter(Boolean).join("; ");
}

/** What caches saved in words; null where they saved and cost nothing. */
export function savingWords(nano: Maybe): string | null {
  if (!nano) return null;
  return nano > 0 ? `caches saved ${withDollars(nano)}` : `caches cost ${withDollars(-nano)} more`;
}

/** Columns of a cost in an export: exactly, in dollars, and what the sum lacks. */
export const COST_NAMES = ["costNanoUsd", "costUsd", "cacheSavingNanoUsd", "requestsOfUnknownCost"];

/** Their values. */
export const costCells = (cost: Cost | null | undefined): Cell[] => [
  knownCost(cost),
  inDollars(knownCost(cost)),
  cost?.cacheSavingNanoUsd ?? null,
  cost?.unknownRequests ?? null,
];
