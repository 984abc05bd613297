// Single requests: where they are in time, those that run, the list, one of them in a drawer that
// has a URL of its own, and whether all of them have been stored.
import { useParams } from "wouter";
import { Completeness } from "../../features/completeness/completeness.tsx";
import { ErrorTable } from "../../features/error-breakdown/error-table.tsx";
import { LiveRequests } from "../../features/live-requests/live-requests.tsx";
import { RecentRequests } from "../../features/recent-requests/recent-requests.tsx";
import { RequestDrawer } from "../../features/recent-requests/request-drawer.tsx";
import { RequestStrip } from "../../features/usage-timeseries/request-strip.tsx";
import { useView } from "../../lib/view.ts";
import { useCloseRequest, useOpenRequest } from "./open-request.ts";
import styles from "./page.module.css";

const COLUMNS = [
  "startedAt",
  "outcome",
  "model",
  "clientKey",
  "path",
  "promptTokens",
  "cachedPromptTokens",
  "completionTokens",
  "usageSource",
  "firstToken",
  "decodeTokensPerSecond",
  "duration",
  "cost",
];

export default function Requests() {
  const { id } = useParams<{ id?: string }>();
  const openRequest = useOpenRequest();
  const [view] = useView();
  // What runs now is not of the past, nor of what follows the first page.
  const now = view.span.to === "now" && !view.get("page");
  // Whoever asks for failures alone wants to know first which ones there are.
  const { status } = view.filters;
  const failures = status.length > 0 && !status.some((one) => one === "ok" || one === "cancelled");
  const closeRequest = useCloseRequest();
  return (
    <div className={styles.page}>
      <h1 className="hidden">Requests</h1>
      <RequestStrip />
      {now ? <LiveRequests lines={4} /> : null}
      {failures ? <ErrorTable onOpen={openRequest} /> : null}
      <RecentRequests columns={COLUMNS} onOpen={openRequest} />
      {failures ? null : <ErrorTable onOpen={openRequest} />}
      <Completeness />
      {id ? <RequestDrawer key={id} id={id} onClose={closeRequest} /> : null}
    </div>
  );
}
