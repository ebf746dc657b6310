/** Audit log: every change, who made it, when, from where and why. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { type AuditEntry, auditCsvUrl, auditQuery } from "@/api/audit";
import { useLogin } from "@/app/login-gate";
import { useProject } from "@/app/project";
import { Page } from "@/app/shell";
import { type Messages, useT } from "@/i18n";
import { serverNow } from "@/lib/clock";
import { AuditEntryDialog } from "@/pages/audit/audit-entry";
import { AuditFilters } from "@/pages/audit/audit-filters";
import { type AuditSearch, filterOf } from "@/pages/audit/search";
import { Ago } from "@/ui/ago";
import { Button, buttonClass } from "@/ui/button";
import { Card, Empty } from "@/ui/card";
import { Twofold } from "@/ui/layout";
import { PageHead } from "@/ui/page-head";
import { PagedCard } from "@/ui/paged-card";
import type { Column } from "@/ui/table";

/** Every change is in it, so that it is read again by time and not by kinds of changes. */
const READ_AGAIN_MS = 10_000;

export function AuditPage() {
  const t = useT();
  const project = useAuditedProject();
  return (
    <Page>
      {project === null ? (
        <>
          <PageHead title={t.audit.title} />
          <Card>
            <Empty title={t.audit.owners}>{t.audit.ownersHelp}</Empty>
          </Card>
        </>
      ) : (
        <Entries project={project} />
      )}
    </Page>
  );
}

/** Operators see all, owners their projects, one at a time; null: the chosen one is not his. */
function useAuditedProject(): string | undefined | null {
  const { user, projects } = useLogin();
  const chosen = useProject();
  if (user.operator) return chosen;
  const owned = Object.keys(projects).filter((name) => projects[name] === "owner");
  return (chosen === undefined ? owned[0] : owned.find((name) => name === chosen)) ?? null;
}

function Entries({ project }: { project: string | undefined }) {
  const t = useT();
  const search = useSearch({ from: "/audit" });
  const navigate = useNavigate();
  // biome-ignore lint/correctness/useExhaustiveDependencies: a range ends when it was chosen
  const now = useMemo(serverNow, [search.range, project]);
  const filter = filterOf(search, project, now);
  const change = (changed: Partial<AuditSearch>) =>
    void navigate({ to: "/audit", search: { ...search, ...changed }, replace: true });
  return (
    <>
      <PageHead title={project ? `${t.audit.title}: ${project}` : t.audit.title}>
        <a className={buttonClass()} href={auditCsvUrl(filter)} download="audit.csv">
          {t.audit.csv}
        </a>
      </PageHead>
      <AuditFilters search={search} onChange={change} />
      <PagedCard
        label={t.audit.title}
        found={useInfiniteQuery({ ...auditQuery(filter), refetchInterval: READ_AGAIN_MS })}
        columns={columnsOf(t, search)}
        rowKey={(entry) => entry.id}
        empty={
          <Empty
            title={t.audit.empty}
            action={
              <Button onPress={() => void navigate({ to: "/audit", search: { range: "all" } })}>
                {t.common.clear}
              </Button>
            }
          />
        }
      />
      {search.entry && <AuditEntryDialog entry={search.entry} onClose={() => change({ entry: undefined })} />}
    </>
  );
}

function columnsOf(t: Messages, search: AuditSearch): readonly Column<AuditEntry>[] {
  return [
    { id: "at", title: t.audit.at, cell: (entry) => <Ago at={entry.at} /> },
    { id: "actor", title: t.audit.actor, cell: (entry) => <strong>{entry.actor}</strong> },
    {
      id: "action",
      title: t.audit.action,
      cell: (entry) => (
        <Link to="/audit" search={{ ...search, entry: entry.id }} replace>
          {entry.action}
        </Link>
      ),
    },
    {
      id: "on",
      title: t.audit.on,
      cell: (entry) => (
        <Twofold first={thingOf(entry)} second={entry.project === thingOf(entry) ? null : entry.project} />
      ),
    },
    { id: "message", title: t.audit.message, kind: "wrap", cell: (entry) => entry.message || t.common.none },
    { id: "from", title: t.audit.from, kind: "number", cell: (entry) => entry.source_address },
  ];
}

const NAMED = ["service", "folder", "secret", "webhook", "agent", "group", "user", "name", "project"];

/** Name of what was changed. */
function thingOf({ service, details }: AuditEntry): string {
  const named = NAMED.map((name) => (details as Record<string, unknown>)[name]).find(
    (value) => typeof value === "string" && value !== "",
  );
  return service ?? (named as string | undefined) ?? "–";
}
