// The sessions of the range, and one of them with its requests.
import { Link } from "wouter";
import { RequestDrawer } from "../../features/recent-requests/request-drawer.tsx";
import { SessionView } from "../../features/session/session-view.tsx";
import { SessionTable } from "../../features/sessions/session-table.tsx";
import { useHref, useView } from "../../lib/view.ts";
import styles from "./page.module.css";

export default function Sessions() {
  const [view, setView] = useView();
  const href = useHref();
  // Names may hold what a path must not, so that they are a key of the address.
  const session = view.get("open");
  const request = view.get("request");
  const open = (id: string | null) => setView({ request: id, page: view.get("page") });
  if (!session)
    return (
      <div className={styles.page}>
        <h1 className="hidden">Sessions</h1>
        <SessionTable />
      </div>
    );
  return (
    <div className={styles.page}>
      <div className={styles.title}>
        <Link href={href("/sessions")}>All sessions</Link>
        <h1>{session}</h1>
      </div>
      <SessionView session={session} onOpen={({ eventId }) => open(eventId)} />
      {request ? <RequestDrawer key={request} id={request} onClose={() => open(null)} /> : null}
    </div>
  );
}
