// Budgets with how much of each is used. Admins save one from the present filter.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { session } from "../../api/session.ts";
import { call } from "../../api/transport.ts";
import type { Budget, Filter } from "../../api/types.ts";
import { useRpc } from "../../api/use-rpc.ts";
import { Button, Panel } from "../../components/panel.tsx";
import { dollars, NANO } from "../../lib/cost.ts";
import { count, dateTime, exact, percent } from "../../lib/format.ts";
import { useScope } from "../../lib/view.ts";
import styles from "./budgets.module.css";

/** As often as analytics computes them. */
const EVERY_MS = 10_000;

const PERIODS = ["DAY", "WEEK", "MONTH"].map((name) => `CALENDAR_PERIOD_${name}`);
const periodText = (period: string) => period.slice("CALENDAR_PERIOD_".length).toLowerCase();

export function Budgets() {
  const { data } = useRpc("ListBudgets", [], () => ({}), { every: EVERY_MS, past: true });
  const who = useQuery({ queryKey: ["session"], queryFn: session, meta: { past: true } });
  // Absent: none; null: a new one.
  const [edited, setEdited] = useState<Budget | null>();
  const writes = who.data?.writes ?? who.data === null;
  if (!data || (!data.budgets[0] && !writes)) return null;
  return (
    <Panel
      title="Budgets"
      controls={writes ? <Button onClick={() => setEdited(null)}>Add a budget</Button> : null}
    >
      <div className={styles.list}>
        {edited === undefined ? null : (
          <Form key={edited?.budgetId ?? ""} budget={edited} onDone={() => setEdited(undefined)} />
        )}
        {data.budgets.map((budget) => (
          <Used key={budget.budgetId} budget={budget}>
            {writes && budget.calendar ? (
              <Button quiet aria-label={`Edit ${budget.name}`} onClick={() => setEdited(budget)}>
                Edit
              </Button>
            ) : null}
          </Used>
        ))}
      </div>
    </Panel>
  );
}

function Used({ budget, children }: { budget: Budget; children: ReactNode }) {
  const { name, state, nanoUsd, rolling, calendar, timeZone } = budget;
  const shown = (value: number) => (nanoUsd ? dollars(value) : `${count(value)} tokens`);
  const { spent = 0, spentRatio = 0, unknownRequests, projected, period, problem } = state ?? {};
  // Of an unknown amount it is the least that it can be.
  const mark = unknownRequests ? "≥ " : "";
  const time = rolling ? `last ${rolling / 3_600_000} h` : `${periodText(calendar ?? "")}, ${timeZone}`;
  const about = [time, words(budget.filter)].filter(Boolean).join(" · ");
  return (
    <section aria-label={name}>
      <div className={styles.row}>
        <strong className="cut">{name}</strong>
        {children}
      </div>
      <p className="muted cut" title={about}>
        {about}
      </p>
      <progress value={spentRatio} aria-label="Used" className={spentRatio < 1 ? "" : styles.over} />
      <p>
        {mark}
        {shown(spent)} of {shown(nanoUsd ?? budget.tokens ?? 0)} · {mark}
        {percent(spentRatio)}
      </p>
      {projected == null ? null : (
        <p className="muted">
          {mark}
          {shown(projected)} projected by {dateTime(period?.end, timeZone)}
        </p>
      )}
      {mark ? <p className="muted">{exact(unknownRequests)} requests of unknown amount</p> : null}
      {budget.notices.map(({ noticeId, share, deliveredAt, nextAttemptAt, attempts, lastError }) =>
        lastError && !deliveredAt ? (
          <p key={noticeId} className={styles.late}>
            Notice of {share} % {nextAttemptAt ? "not yet delivered" : "given up"}, {attempts} attempts:{" "}
            {lastError}
          </p>
        ) : null,
      )}
      {problem ? <p className={styles.late}>Not computed: {problem}</p> : null}
    </section>
  );
}

/** "models: a, b · tags: team=search", and what is excluded. */
function words(filter: object | null, not = ""): string {
  const parts = Object.entries(filter ?? {}).map(([key, value]) => {
    if (key === "exclude") return words(value, "not ");
    const values = Array.isArray(value)
      ? value
      : typeof value === "object"
        ? Object.entries(value ?? {}).map((pair) => pair.join("="))
        : [value];
    return values[0] === undefined ? "" : `${not}${key}: ${values.join(", ")}`;
  });
  return parts.filter(Boolean).join(" · ");
}

function Form({ budget, onDone }: { budget: Budget | null; onDone: () => void }) {
  const scope = useScope();
  const client = useQueryClient();
  const [refused, setRefused] = useState("");
  const zone = budget?.timeZone ?? scope.zone;
  const filter = budget ? budget.filter : scope.filter;
  const write = async (writing: Promise<unknown>) => {
    try {
      await writing;
      await client.invalidateQueries({ queryKey: ["ListBudgets"] });
      onDone();
    } catch (error) {
      setRefused((error as Error).message);
    }
  };
  const save = (form: FormData) => {
    const [name, amount, unit, period] = ["name", "amount", "unit", "period"].map((key) => form.get(key));
    const request = {
      budgetId: budget?.budgetId ?? "",
      name: name as string,
      calendar: period as Budget["calendar"],
      [unit as "tokens"]: Math.round(Number(amount) * (unit === "tokens" ? 1 : NANO)),
      timeZone: zone,
      filter: filter as Filter,
      shares: (budget?.shares ?? []) as number[],
    };
    void write(call("SaveBudget", request));
  };
  return (
    <form
      className={styles.row}
      aria-label="Budget"
      onSubmit={(event) => {
        event.preventDefault();
        save(new FormData(event.currentTarget));
      }}
    >
      <input name="name" aria-label="Name" placeholder="Name" required defaultValue={budget?.name} />
      <input
        name="amount"
        aria-label="Amount"
        placeholder="Amount"
        type="number"
        required
        step="any"
        defaultValue={budget?.nanoUsd ? budget.nanoUsd / NANO : (budget?.tokens ?? "")}
      />
      <select name="unit" aria-label="Unit" defaultValue={budget?.tokens ? "tokens" : "nanoUsd"}>
        <option value="nanoUsd">$</option>
        <option>tokens</option>
      </select>
      <select name="period" aria-label="Period" defaultValue={budget?.calendar ?? PERIODS[2]}>
        {PERIODS.map((period) => (
          <option key={period} value={period}>
            per {periodText(period)}
          </option>
        ))}
      </select>
      <Button type="submit">Save</Button>
      <Button onClick={onDone}>Cancel</Button>
      {budget ? (
        <Button onClick={() => write(call("DeleteBudget", { budgetId: budget.budgetId }))}>Delete</Button>
      ) : null}
      <span className="muted">
        {words(filter) || "all requests"} · {zone}
      </span>
      {refused ? <p role="alert">{refused}</p> : null}
    </form>
  );
}
