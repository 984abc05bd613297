// Says how much of the usage is known, and how to learn more: unknown must never
// look like nothing. The line is always there, so that nothing below it moves.
import { Icon } from "../../components/icon.tsx";
import { count, exact } from "../../lib/format.ts";
import styles from "./usage-hint.module.css";
import { useUsageSummary } from "./use-usage-summary.ts";

export function UsageHint() {
  const { data } = useUsageSummary();
  // Failures report nothing, and are not asked to.
  if (!data || data.requests <= data.failedRequests + data.clientClosedRequests)
    return <p className={styles.hint} />;
  const without = data.requestsWithoutUsage;
  const estimated = data.requestsWithEstimatedUsage;
  if (without + estimated === 0) {
    return <p className={styles.hint}>Every successful answer reported its usage.</p>;
  }
  return (
    <p className={styles.hint} role="note">
      <Icon>
        <circle cx="8" cy="8" r="6.5" />
        <path d="M8 7.2v4M8 4.8v.2" strokeLinecap="round" />
      </Icon>
      <span>
        {without > 0 ? (
          <span title={exact(without)}>
            <strong>{count(without)}</strong> {without === 1 ? "request" : "requests"} came without usage
          </span>
        ) : null}
        {without > 0 && estimated > 0 ? ", " : null}
        {estimated > 0 ? (
          <span title={exact(estimated)}>
            <strong>{count(estimated)}</strong> {estimated === 1 ? "is" : "are"} estimated
          </span>
        ) : null}
        : their tokens are missing here or uncertain. To have upstreams report usage on every stream, start
        the proxy with <code>MODASH_PROXY_STREAM_USAGE=inject</code>.
      </span>
    </p>
  );
}
