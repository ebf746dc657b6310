/** What a project uses of its quota and who uses it, and the machines that it may use. */

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import {
  type Holder,
  type Project,
  type ProjectUsage,
  projectActions,
  projectQuery,
  projectUsageQuery,
} from "@/api/projects";
import { resourceGroupsQuery } from "@/api/resource-groups";
import { useMayOperate, useMayOwn } from "@/app/rights";
import { type Messages, useT } from "@/i18n";
import { EditQuota } from "@/pages/project/edit-quota";
import { amount, quotaRows, servicesOff } from "@/pages/project/quota";
import { Button } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Check } from "@/ui/field";
import { Bar, Narrow, Note, Quiet, Stack } from "@/ui/layout";
import { type Column, Table } from "@/ui/table";

export function ResourcesTab() {
  const t = useT();
  const { name } = useParams({ from: "/projects/$name" });
  const { data: project } = useQuery(projectQuery(name));
  const { data: usage, error, refetch } = useQuery(projectUsageQuery(name));
  if (!project) return null;
  return (
    <Stack>
      {error && <ProblemCard error={error} onRetry={() => void refetch()} />}
      {!usage && !error && (
        <Card>
          <Skeleton />
        </Card>
      )}
      {usage && <Quota project={project} usage={usage} />}
      {usage && <Holders holders={usage.holders ?? []} label={t.projects.holders} />}
      <Groups project={project} />
    </Stack>
  );
}

function Quota({ project, usage }: { project: Project; usage: ProjectUsage }) {
  const t = useT();
  const mayOperate = useMayOperate();
  const [editing, setEditing] = useState(false);
  return (
    <Card
      flush
      title={t.projects.quota}
      actions={
        mayOperate && (
          <Button small onPress={() => setEditing(true)}>
            {t.projects.editQuota}
          </Button>
        )
      }
    >
      <ServicesSwitch project={project} />
      {project.note && <Note>{project.note.text}</Note>}
      <Table
        label={t.projects.quota}
        rows={quotaRows(usage)}
        rowKey={(row) => row.slot}
        columns={[
          { id: "slot", title: t.projects.slot, cell: (row) => row.slot },
          { id: "used", title: t.machines.used, kind: "number", cell: (row) => amount(row.slot, row.used) },
          {
            id: "limit",
            title: t.projects.limit,
            kind: "number",
            cell: (row) => (row.limit === null ? t.projects.noLimit : amount(row.slot, row.limit)),
          },
          {
            id: "bar",
            title: "",
            cell: (row) => row.limit !== null && <Bar used={Number(row.used)} limit={Number(row.limit)} />,
          },
        ]}
      />
      {editing && <EditQuota project={project} usage={usage} onClose={() => setEditing(false)} />}
    </Card>
  );
}

/** Whether anything may run at all: a limit of no services. */
function ServicesSwitch({ project }: { project: Project }) {
  const t = useT();
  const queries = useQueryClient();
  const mayOperate = useMayOperate();
  const [error, setError] = useState<Error | null>(null);
  const off = servicesOff(project);
  if (!mayOperate && !off) return null;
  const set = (on: boolean) => {
    setError(null);
    void projectActions.change(project.name, { quota: { services: on ? null : "0" } }).then((changed) => {
      queries.setQueryData(projectQuery(project.name).queryKey, changed);
      void queries.invalidateQueries({ queryKey: ["project-usage", project.name] });
    }, setError);
  };
  return (
    <div style={{ padding: "12px 16px" }}>
      <Check label={t.projects.servicesOn} checked={!off} onChange={set} disabled={!mayOperate} />
      {off && <Quiet>{t.projects.servicesOff}</Quiet>}
      {error && <ProblemCard error={error} />}
    </div>
  );
}

function Holders({ holders, label }: { holders: readonly Holder[]; label: string }) {
  const t = useT();
  return (
    <Card flush title={label}>
      {holders.length === 0 ? (
        <Empty title={t.projects.noHolders} />
      ) : (
        <Table label={label} rows={holders} rowKey={(one) => one.id} columns={holderColumns(t)} />
      )}
    </Card>
  );
}

function holderColumns(t: Messages): readonly Column<Holder>[] {
  return [
    { id: "name", title: t.services.name, cell: (one) => <HolderName holder={one} /> },
    { id: "kind", title: t.projects.kind, cell: (one) => t.projects.kinds[one.kind] },
    { id: "owner", title: t.projects.owner, cell: (one) => one.owner || t.common.none },
    {
      id: "replicas",
      title: t.services.replicas,
      kind: "number",
      cell: (one) => (one.kind === "folder" ? t.common.none : one.replicas),
    },
    {
      id: "used",
      title: t.machines.used,
      kind: "wrap",
      cell: (one) =>
        Object.entries(one.used)
          .filter(([name]) => name !== "services")
          .map(([name, used]) => `${amount(name, used)} ${name}`)
          .join(", "),
    },
  ];
}

function HolderName({ holder }: { holder: Holder }) {
  if (holder.kind === "service")
    return (
      <Link to="/services/$service" params={{ service: holder.name }}>
        {holder.name}
      </Link>
    );
  if (holder.kind === "folder")
    return (
      <Link to="/folders/$folder" params={{ folder: holder.name }}>
        {holder.name}
      </Link>
    );
  return <code>{holder.id}</code>;
}

function Groups({ project }: { project: Project }) {
  const t = useT();
  const queries = useQueryClient();
  const mayOwn = useMayOwn(project.name);
  const found = useInfiniteQuery(resourceGroupsQuery);
  const [error, setError] = useState<Error | null>(null);
  const groups = (found.data?.pages.flatMap((page) => page.items) ?? [])
    .filter((group) => !group.projects || group.projects.includes(project.name))
    .map((group) => group.name);
  const chosen = project.resource_group ?? "default";
  const choose = (group: string) => {
    setError(null);
    void projectActions
      .change(project.name, { resource_group: group === "default" ? null : group })
      .then((changed) => queries.setQueryData(projectQuery(project.name).queryKey, changed), setError);
  };
  return (
    <Card title={t.projects.groups}>
      <Stack>
        <Quiet>{t.projects.groupsText(groups.join(", ") || chosen)}</Quiet>
        {mayOwn ? (
          <Narrow>
            <Choice
              label={t.projects.group}
              value={chosen}
              onChange={choose}
              options={[...new Set([chosen, ...groups])].map((value) => ({ value, label: value }))}
            />
          </Narrow>
        ) : (
          <p>
            {t.projects.group}: {chosen}
          </p>
        )}
        {error && <ProblemCard error={error} />}
      </Stack>
    </Card>
  );
}
