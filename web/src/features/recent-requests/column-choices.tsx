// Which columns the table has, and in which order.
import { Button } from "../../components/panel.tsx";
import styles from "./column-choices.module.css";
import { COLUMNS } from "./columns.tsx";

export default function ColumnChoices(props: {
  /** Ids of the columns shown, in their order. */
  shown: readonly string[];
  /** Null: the usual ones. */
  onChange: (shown: readonly string[] | null) => void;
}) {
  const { shown, onChange } = props;
  const label = (id: string) => COLUMNS.find((column) => column.id === id)?.label ?? id;
  const rest = COLUMNS.map(({ id }) => id as string).filter((id) => !shown.includes(id));
  const move = (at: number, by: -1 | 1) => {
    const moved = [...shown];
    const [one] = moved.splice(at, 1);
    if (one) onChange([...moved.slice(0, at + by), one, ...moved.slice(at + by)]);
  };
  const toggle = (id: string) =>
    onChange(shown.includes(id) ? shown.filter((other) => other !== id) : [...shown, id]);
  return (
    <div className={styles.choices}>
      <ol>
        {[...shown, ...rest].map((id, at) => {
          const on = at < shown.length;
          return (
            <li key={id}>
              <label>
                <input
                  type="checkbox"
                  checked={on}
                  disabled={on && shown.length === 1}
                  onChange={() => toggle(id)}
                />
                {label(id)}
              </label>
              {on ? (
                <>
                  <Button
                    quiet
                    aria-label={`${label(id)} to the left`}
                    disabled={at === 0}
                    onClick={() => move(at, -1)}
                  >
                    ↑
                  </Button>
                  <Button
                    quiet
                    aria-label={`${label(id)} to the right`}
                    disabled={at === shown.length - 1}
                    onClick={() => move(at, 1)}
                  >
                    ↓
                  </Button>
                </>
              ) : null}
            </li>
          );
        })}
      </ol>
      <Button onClick={() => onChange(null)}>The usual columns</Button>
    </div>
  );
}
