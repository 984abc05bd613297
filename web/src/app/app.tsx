// The frame: what governs all pages above, the page below, and the one place
// where the event stream meets the queries.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import { live, startLive } from "../api/live.ts";
import { Boundary } from "../components/boundary.tsx";
import { serverNow } from "../lib/clock.ts";
import { NamesProvider } from "../lib/names.tsx";
import { liveFilter, PauseContext, useHref, useView } from "../lib/view.ts";
import styles from "./app.module.css";
import { FilterChips } from "./filters.tsx";
import { refresher } from "./refresh.ts";
import { Overview } from "./routes/overview.tsx";
import { TopBar } from "./top-bar.tsx";
import { Unavailable } from "./unavailable.tsx";

const Throughput = lazy(() => import("./routes/throughput.tsx"));
const Models = lazy(() => import("./routes/models.tsx"));
const Model = lazy(() => import("./routes/model.tsx"));
const Breakdown = lazy(() => import("./routes/breakdown.tsx"));
const Sessions = lazy(() => import("./routes/sessions.tsx"));
const Requests = lazy(() => import("./routes/requests.tsx"));

const makeClient = () =>
  new QueryClient({
    defaultOptions: { queries: { staleTime: 15_000, refetchOnWindowFocus: false, networkMode: "always" } },
  });

export function App({ client: given }: { client?: QueryClient }) {
  const client = useMemo(() => given ?? makeClient(), [given]);
  const [pausedAt, setPausedAt] = useState<number | null>(null);
  const [newer, setNewer] = useState(false);
  const paused = useRef(false);
  const refresh = useMemo(() => refresher(client), [client]);

  useEffect(() => {
    const stopRefresh = refresh.start();
    const stopLive = startLive((name) => {
      if (name === "connected") refresh.connected();
      if (name !== "usage-updated") return;
      refresh.changed();
      if (paused.current) setNewer(true);
    });
    return () => {
      stopLive();
      stopRefresh();
    };
  }, [refresh]);

  const pause = (on: boolean) => {
    paused.current = on;
    setPausedAt(on ? serverNow() : null);
    setNewer(false);
    refresh.pause(on);
  };

  return (
    <QueryClientProvider client={client}>
      <NamesProvider>
        <PauseContext value={pausedAt}>
          <a className={styles.skip} href="#main">
            Skip to the content
          </a>
          <TopBar pausedAt={pausedAt} newer={newer} onPause={pause} />
          <Unavailable />
          <FilterChips />
          <LiveFilter />
          <main id="main" className={styles.main}>
            <Pages />
          </main>
        </PauseContext>
      </NamesProvider>
    </QueryClientProvider>
  );
}

function Pages() {
  const [location] = useLocation();
  return (
    <Boundary key={location.split("/")[1] ?? ""} what="this page">
      <Suspense fallback={<div style={{ minHeight: "80vh" }} />}>
        <Switch>
          <Route path="/" component={Overview} />
          <Route path="/throughput" component={Throughput} />
          <Route path="/models" component={Models} />
          <Route path="/models/:name" component={Model} />
          <Route path="/breakdown" component={Breakdown} />
          <Route path="/sessions" component={Sessions} />
          <Route path="/requests/:id?" component={Requests} />
          <Route>
            <NotFound />
          </Route>
        </Switch>
      </Suspense>
    </Boundary>
  );
}

/** The live numbers count what passes the filters of the view. */
function LiveFilter() {
  const [view] = useView();
  const key = JSON.stringify(view.filters);
  useEffect(() => live.filter(liveFilter(JSON.parse(key))), [key]);
  return null;
}

function NotFound() {
  const href = useHref();
  return (
    <div className={styles.missing}>
      <h1>There is no such page</h1>
      <Link href={href("/")}>To the overview</Link>
    </div>
  );
}
