// A budget as an admin writes it. What the server refuses stands at its field.
import { useQueryClient } from "@tanstack/react-query";
import { type ComponentProps, type ReactNode, useId, useState } from "react";
import { call } from "../../api/transport.ts";
import type { Budget, Filter } from "../../api/types.ts";
import { Button } from "../../components/panel.tsx";
import { NANO } from "../../lib/cost.ts";
import { useScope } from "../../lib/view.ts";
import styles from "./budgets.module.css";
import { HOUR_MS, periodText, words } from "./words.ts";

const PERIODS = ["DAY", "WEEK", "MONTH"].map((name) => `CALENDAR_PERIOD_${name}`);
const ROLLING = "rolling";

/** Fields of a request that another control stands for. */
const CONTROLS: Record<string, string> = { tokens: "amount", nanoUsd: "amount", calendar: "period" };
const NAMES = ["name", "amount", "period", "rolling", "shares", "webhookUrl", "webhookSecret"];

type Problems = Record<string, string>;

/** "name: must be …; webhook_url: must be …" by control; what belongs to none is under "". */
export function problemsOf(message: string): Problems {
  const problems: Problems = {};
  for (const line of message.split(/; (?=[\w.[\]]+: )/)) {
    const [, path = "", text = ""] = /^(\w+)[\w.[\]]*: (.*)$/s.exec(line) ?? [];
    const field = path.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    const control = CONTROLS[field] ?? field;
    const [key, words] = NAMES.includes(control) ? [control, text] : ["", line];
    problems[key] = problems[key] ? `${problems[key]}; ${words}` : words;
  }
  return problems;
}

export function BudgetForm({ budget, onDone }: { budget: Budget | null; onDone: () => void }) {
  const scope = useScope();
  const client = useQueryClient();
  const [problems, setProblems] = useState<Problems>({});
  const [period, setPeriod] = useState(budget?.rolling ? ROLLING : (budget?.calendar ?? PERIODS[2] ?? ""));
  const [removed, setRemoved] = useState(false);
  const zone = budget?.timeZone ?? scope.zone;
  const filter = budget ? budget.filter : scope.filter;
  const origin = budget?.webhookOrigin;
  const write = async (writing: Promise<unknown>) => {
    try {
      await writing;
      await client.invalidateQueries({ queryKey: ["ListBudgets"] });
      onDone();
    } catch (error) {
      setProblems(problemsOf((error as Error).message));
    }
  };
  const save = (form: FormData) => {
    const text = (key: string) => ((form.get(key) as string | null) ?? "").trim();
    const unit = text("unit") as "tokens" | "nanoUsd";
    const webhookUrl = text("webhookUrl");
    const webhookSecret = text("webhookSecret");
    const request = {
      budgetId: budget?.budgetId ?? "",
      name: text("name"),
      ...(period === ROLLING
        ? { rolling: Math.round(Number(text("rolling")) * HOUR_MS) }
        : { calendar: period as Budget["calendar"] }),
      [unit as "tokens"]: Math.round(Number(text("amount")) * (unit === "tokens" ? 1 : NANO)),
      timeZone: zone,
      filter: filter as Filter,
      shares: text("shares")
        .split(/[\s,;%]+/)
        .filter(Boolean)
        .map(Number),
      // Without an address the one that is saved stays.
      ...(removed ? { webhookUrl: "" } : webhookUrl ? { webhookUrl } : {}),
      ...(webhookSecret && !removed ? { webhookSecret } : {}),
    };
    setProblems({});
    void write(call("SaveBudget", request));
  };
  const of = (name: string) => ({ name, problem: problems[name] });
  return (
    <form
      className={styles.form}
      aria-label="Budget"
      onSubmit={(event) => {
        event.preventDefault();
        save(new FormData(event.currentTarget));
      }}
    >
      <Field label="Name" {...of("name")} required defaultValue={budget?.name} />
      <Field
        label="Amount"
        {...of("amount")}
        type="number"
        required
        step="any"
        size={12}
        defaultValue={budget?.nanoUsd ? budget.nanoUsd / NANO : (budget?.tokens ?? "")}
      />
      <Labelled label="Unit">
        {(control) => (
          <select {...control} name="unit" defaultValue={budget?.tokens ? "tokens" : "nanoUsd"}>
            <option value="nanoUsd">$</option>
            <option>tokens</option>
          </select>
        )}
      </Labelled>
      <Labelled label="Period" problem={problems.period}>
        {(control) => (
          <select {...control} value={period} onChange={(event) => setPeriod(event.target.value)}>
            {PERIODS.map((name) => (
              <option key={name} value={name}>
                per {periodText(name)}
              </option>
            ))}
            <option value={ROLLING}>rolling window</option>
          </select>
        )}
      </Labelled>
      {period === ROLLING ? (
        <Field
          label="Window in hours"
          {...of("rolling")}
          type="number"
          required
          step="any"
          defaultValue={budget?.rolling ? budget.rolling / HOUR_MS : 24}
        />
      ) : null}
      <Field
        label="Notices at, %"
        {...of("shares")}
        placeholder="50, 80, 100"
        defaultValue={budget?.shares.join(", ")}
      />
      <Field
        label="Webhook"
        {...of("webhookUrl")}
        wide
        disabled={removed}
        placeholder={origin ? `${origin}/… stays` : "https://…"}
      />
      <Field
        label="Webhook secret"
        {...of("webhookSecret")}
        type="password"
        autoComplete="new-password"
        disabled={removed}
        placeholder={origin ? "stays" : "whsec_…"}
      />
      {origin ? (
        <label className={styles.check}>
          <input type="checkbox" checked={removed} onChange={(event) => setRemoved(event.target.checked)} />
          Remove the webhook
        </label>
      ) : null}
      <div className={styles.row}>
        <Button type="submit">Save</Button>
        <Button onClick={onDone}>Cancel</Button>
        {budget ? (
          <Button onClick={() => write(call("DeleteBudget", { budgetId: budget.budgetId }))}>Delete</Button>
        ) : null}
        <span className="muted">
          {words(filter) || "all requests"} · {zone}
        </span>
      </div>
      {problems[""] ? (
        <p role="alert" className={styles.late}>
          {problems[""]}
        </p>
      ) : null}
    </form>
  );
}

/** A control under its label, above what is wrong with it. */
function Labelled(props: {
  label: string;
  problem?: string | undefined;
  wide?: boolean;
  children: (control: {
    id: string;
    "aria-invalid": boolean;
    "aria-describedby": string | undefined;
  }) => ReactNode;
}) {
  const id = useId();
  const { label, problem, wide, children } = props;
  return (
    <div className={wide ? styles.wide : ""}>
      <label htmlFor={id} className="muted">
        {label}
      </label>
      {children({
        id,
        "aria-invalid": !!problem,
        "aria-describedby": problem ? `${id}-problem` : undefined,
      })}
      {problem ? (
        <p id={`${id}-problem`} role="alert" className={styles.late}>
          {problem}
        </p>
      ) : null}
    </div>
  );
}

function Field({
  label,
  problem,
  wide = false,
  ...input
}: ComponentProps<"input"> & { label: string; problem: string | undefined; wide?: boolean }) {
  return (
    <Labelled label={label} problem={problem} wide={wide}>
      {(control) => <input {...input} {...control} />}
    </Labelled>
  );
}
