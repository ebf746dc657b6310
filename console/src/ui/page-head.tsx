/** Title of a page, with its actions at the right. */

import type { ReactNode } from "react";

export function PageHead({ title, children }: { title: ReactNode; children?: ReactNode }) {
  return (
    <div style={{ display: "flex", alignItems: "center", flexWrap: "wrap", gap: 12, minHeight: 32 }}>
      <h1 style={{ marginRight: "auto", overflowWrap: "anywhere" }}>{title}</h1>
      {children}
    </div>
  );
}
