// Catches what fails while it is drawn, so that a fault in one part leaves the
// others alone and never a white page.
import { Component, type ReactNode } from "react";
import { Button } from "./button.tsx";
import styles from "./panel.module.css";

interface Props {
  what: string;
  children: ReactNode;
}

export class Boundary extends Component<Props, { failed: Error | null }> {
  override state: { failed: Error | null } = { failed: null };

  static getDerivedStateFromError(failed: Error) {
    return { failed };
  }

  override render() {
    const { failed } = this.state;
    if (!failed) return this.props.children;
    return (
      <div role="alert" className={`${styles.state} ${styles.failed}`}>
        <div>
          <strong>Could not show {this.props.what}</strong>
          <br />
          This is a fault of the dashboard: {failed.message}
        </div>
        <Button onClick={() => this.setState({ failed: null })}>Retry</Button>
      </div>
    );
  }
}
