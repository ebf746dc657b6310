/** Pages for an address that does not exist, and for a page that failed. */

import { Link } from "@tanstack/react-router";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { buttonClass } from "@/ui/button";
import { Card, Empty, ProblemCard } from "@/ui/card";

export function NotFoundPage() {
  const t = useT();
  return (
    <Page>
      <Card>
        <Empty
          title={t.error.page}
          action={
            <Link to="/services" search={{}} className={buttonClass("primary")}>
              {t.error.home}
            </Link>
          }
        />
      </Card>
    </Page>
  );
}

export function PageFault({ error, reset }: { error: unknown; reset: () => void }) {
  const t = useT();
  return (
    <Page>
      <h1>{t.error.broken}</h1>
      <ProblemCard error={error instanceof Error ? error : new Error(String(error))} onRetry={reset} />
    </Page>
  );
}
