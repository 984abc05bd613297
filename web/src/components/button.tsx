// The one button.
import styles from "./panel.module.css";

export function Button(props: React.ComponentProps<"button"> & { quiet?: boolean }) {
  const { quiet, className, ...rest } = props;
  return (
    <button
      type="button"
      className={`${styles.button} ${quiet ? styles.quiet : ""} ${className ?? ""}`}
      {...rest}
    />
  );
}
