// What requests cost, in US dollars. An unknown cost is never 0: sums say that they
// are at least so much, and how many requests they lack.
import type { Cost } from "../api/types.ts";
import { UNKNOWN } from "./format.ts";

type Maybe = number | null | undefined;

export const NANO = 1e9;
const formats = new Map<number, Intl.NumberFormat>();

/** Dollars with a fixed number of digits behind the point. */
export function usd(value: number, digits: number): string {
  let format = formats.get(digits);
  if (!format) {
    format = new Intl.NumberFormat(undefined, {
      style: "currency",
      currency: "USD",
      currencyDisplay: "narrowSymbol",
      minimumFractionDigits: Math.min(digits, 2),
      maximumFractionDigits: digits,
    });
    formats.set(digits, format);
  }
  return format.format(value);
}

/** $12,346 · $124 · $12.35 · $0.42 · $0.0042 of billionths of a dollar. Digits after the first two of a small amount are left out. */
export function dollars(nano: Maybe): string {
  if (nano == null || !Number.isFinite(nano)) return UNKNOWN;
  const value = nano / NANO;
  const size = Math.abs(value);
  if (size === 0) return usd(0, 0);
  if (size >= 99.995) return usd(value, 0);
  return usd(value, size >= 0.995 ? 2 : Math.max(2, Math.min(9, 1 - Math.floor(Math.log10(size)))));
}

/** For exports, beside the exact integer. */
export const inDollars = (nano: Maybe): number | null => (nano == null ? null : nano / NANO);

/** The sum of a cost; null where none is known, or nothing had to be paid for. */
export const knownCost = (cost: Cost | null | undefined): number | null =>
  cost && cost.knownRequests > 0 ? cost.nanoUsd : null;

/** "≥ " where requests of an unknown cost are not in the sum, "≈ " where estimates are. */
export const costMark = (cost: Cost): string =>
  cost.unknownRequests > 0 ? "≥ " : cost.estimatedRequests > 0 ? "≈ " : "";

/** "≥ $1.24", or a dash. */
export const costText = (cost: Cost | null | undefined): string =>
  cost && knownCost(cost) !== null ? `${costMark(cost)}${dollars(cost.nanoUsd)}` : UNKNOWN;

/** How a model gets a price; a sentence. */
export const SET_PRICE = "To set a price, add the model to the price file (MODASH_PRICES_FILE).";
