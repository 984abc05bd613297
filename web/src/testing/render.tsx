// Renders a part of the page at a URL, with queries that do not retry.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";

export const testClient = () =>
  new QueryClient({ defaultOptions: { queries: { retry: false, networkMode: "always" } } });

export function show(part: ReactNode, url = "/", client = testClient()) {
  history.replaceState(null, "", url);
  return render(<QueryClientProvider client={client}>{part}</QueryClientProvider>);
}
