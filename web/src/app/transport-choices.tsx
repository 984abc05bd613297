// How the page asks and listens. Another choice loads the page anew under its own address.
import { useSearch } from "wouter";
import { settings } from "../api/page-settings.ts";
import { chosen, TRANSPORT_KEY, type TransportName } from "../api/transport.ts";
import styles from "./app.module.css";

const CHOICES: { name: TransportName; title: string; about: string }[] = [
  { name: "rpc", title: "JSON", about: "Queries by /rpc, live by /events" },
  { name: "grpc-web", title: "gRPC-Web", about: "Through the gateway" },
  { name: "analytics", title: "gRPC-Web, direct", about: "Straight to analytics" },
];

export default function TransportChoices() {
  const search = useSearch();
  const choices = CHOICES.filter(({ name }) => name !== "analytics" || settings.analyticsUrl);
  const href = (name: TransportName) => {
    const params = new URLSearchParams(search);
    if (name === (settings.transport ?? "rpc")) params.delete(TRANSPORT_KEY);
    else params.set(TRANSPORT_KEY, name);
    return params.size > 0 ? `?${params}` : location.pathname;
  };
  return (
    <ul className={styles.choices} aria-label="How this page asks">
      {choices.map(({ name, title, about }) => (
        <li key={name}>
          <a href={href(name)} aria-current={name === chosen.name ? "true" : undefined}>
            {title}
            <small>{name === "analytics" ? `${about}, ${settings.analyticsUrl}` : about}</small>
          </a>
        </li>
      ))}
    </ul>
  );
}
