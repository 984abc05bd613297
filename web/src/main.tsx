// Mounts the dashboard.
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/app.tsx";
import { Boundary } from "./components/boundary.tsx";
import "./app/styles.css";

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Boundary what="the dashboard">
        <App />
      </Boundary>
    </StrictMode>,
  );
}
