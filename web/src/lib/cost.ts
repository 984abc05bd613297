// What requests cost. Amounts are in billionths of a US dollar; the page may show them in
// another currency, by a fixed rate. An unknown cost is never 0: sums say that they are
// at least so much, and how many requests they lack.
import { settings } from "../api/page-settings.ts";
import type { Cost } from "../api/types.ts";
import { UNKNOWN } from "./format.ts";

type Maybe = number | null | undefined;

export const NANO = 1e9;
const DOLLAR = { code: "USD", rate: 1 };
/** What the page shows costs in. */
export const currency = () => settings.currency ?? DOLLAR;

const formats = new Map<string, Intl.NumberFormat>();

function format(code: string, digits?: number): Intl.NumberFormat {
  const key = `${code} ${digits}`;
  let made = formats.get(key);
  if (!made) {
    made = new Intl.NumberFormat(undefined, {
      style: "currency",
      currency: code,
      // A bare $ is that of the United States.
      currencyDisplay: code === DOLLAR.code ? "narrowSymbol" : "symbol",
      ...(digits === undefined
        ? {}
        : { minimumFractionDigits: Math.min(digits, usual(code)), maximumFractionDigits: digits }),
    });
    formats.set(key, made);
  }
  return made;
}

/** Digits behind the point that prices in a currency have: none in yen. */
const usual = (code: string): number => format(code).resolvedOptions().maximumFractionDigits ?? 2;

/** An amount of a currency with a fixed number of digits behind the point. */
export const amount = (value: number, digits: number, code = DOLLAR.code): string =>
  format(code, digits).format(value);

function short(nano: Maybe, { code, rate }: typeof DOLLAR): string {
  if (nano == null || !Number.isFinite(nano)) return UNKNOWN;
  const value = (nano / NANO) * rate;
  const size = Math.abs(value);
  if (size === 0 || size >= 99.995) return amount(value, 0, code);
  const digits = usual(code);
  const more = size >= 0.995 ? 0 : Math.min(9, 1 - Math.floor(Math.log10(size)));
  return amount(value, Math.max(digits, more), code);
}

/** $12,346 · $124 · $12.35 · $0.42 · $0.0042 of billionths of a dollar. Digits after the first two of a small amount are left out. */
export const dollars = (nano: Maybe): string => short(nano, DOLLAR);

/** The same in the currency of the page. */
export const money = (nano: Maybe): string => short(nano, currency());

/** "$1 = €0.92"; nothing while dollars are shown. */
export function rateWords(): string {
  const { code, rate } = currency();
  return code === DOLLAR.code ? "" : `${amount(1, 0)} = ${amount(rate, 9, code)}`;
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
  cost && knownCost(cost) !== null ? `${costMark(cost)}${money(cost.nanoUsd)}` : UNKNOWN;

/** How a model gets a price; a sentence. */
export const SET_PRICE = "To set a price, add the model to the price file (MODASH_PRICES_FILE).";
