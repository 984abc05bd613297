// What the gateway says of itself in the page: a `meta` element with JSON. A page that
// no gateway served has none.

export interface PageSettings {
  /** Port of the proxy, on the host of this page. */
  proxyPort?: number;
  /** Template of links to traces, with places for `{trace_id}` and perhaps `{span_id}`. */
  traceUrl?: string;
  /** How the page asks unless its address says otherwise. */
  transport?: string;
  /** Where browsers reach analytics itself. */
  analyticsUrl?: string;
  /** Where the proxy forwards to, where the gateway knows it. */
  upstream?: string;
  /** What costs are shown in, and how much of it one dollar is; dollars without it. */
  currency?: { code: string; rate: number };
  /** Who opened the page, where one signs in: tabs of the same viewer share a stream. */
  viewer?: string;
}

function read(): PageSettings {
  const content = document.querySelector<HTMLMetaElement>('meta[name="modash-settings"]')?.content;
  try {
    return content ? (JSON.parse(content) as PageSettings) : {};
  } catch {
    return {};
  }
}

export const settings: PageSettings = read();
