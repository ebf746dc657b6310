/** Projects: all that one is a member of; operators see every one, and make new ones. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { type Project, projectActions, projectsQuery } from "@/api/projects";
import { useLogin } from "@/app/login-gate";
import { useMayOperate } from "@/app/rights";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { slot } from "@/i18n/format";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/card";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { Twofold } from "@/ui/layout";
import { PageHead } from "@/ui/page-head";
import { PagedCard } from "@/ui/paged-card";
import type { Column } from "@/ui/table";

export function ProjectsPage() {
  const t = useT();
  const found = useInfiniteQuery(projectsQuery);
  const [making, setMaking] = useState(false);
  const mayOperate = useMayOperate();
  return (
    <Page>
      <PageHead title={t.projects.title}>
        {mayOperate && (
          <Button kind="primary" onPress={() => setMaking(true)}>
            {t.projects.new}
          </Button>
        )}
      </PageHead>
      <PagedCard
        label={t.projects.title}
        found={found}
        columns={useColumns()}
        rowKey={(project) => project.id}
        empty={<Empty title={t.projects.empty}>{t.projects.emptyHelp}</Empty>}
      />
      {making && <NewProject onClose={() => setMaking(false)} />}
    </Page>
  );
}

function useColumns(): readonly Column<Project>[] {
  const t = useT();
  const { projects } = useLogin();
  return [
    {
      id: "name",
      title: t.services.name,
      cell: (project) => (
        <Twofold
          first={
            <Link to="/projects/$name" params={{ name: project.name }}>
              {project.name}
            </Link>
          }
          second={project.description.split("\n")[0]}
        />
      ),
    },
    {
      id: "role",
      title: t.projects.yourRole,
      cell: (project) => {
        const role = projects[project.name];
        return role ? t.projects.roles[role] : t.common.none;
      },
    },
    { id: "quota", title: t.projects.quota, kind: "wrap", cell: (project) => quotaOf(project) || t.projects.noLimit },
    { id: "group", title: t.projects.group, cell: (project) => project.resource_group ?? "default" },
    { id: "created", title: t.folders.created, kind: "number", cell: (project) => <Ago at={project.created_at} /> },
  ];
}

function quotaOf({ quota }: Project): string {
  return Object.entries(quota ?? {})
    .map(([name, amount]) => `${slot(name, amount)} ${name}`)
    .join(", ");
}

function NewProject({ onClose }: { onClose: () => void }) {
  const t = useT();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const create = async () => {
    const project = await projectActions.create({ name: name.trim(), description: description.trim() });
    void queries.invalidateQueries({ queryKey: ["projects"] });
    void queries.invalidateQueries({ queryKey: ["login"] });
    await navigate({ to: "/projects/$name", params: { name: project.name } });
  };
  return (
    <FormDialog
      title={t.projects.new}
      verb={t.projects.make}
      onSubmit={create}
      onClose={onClose}
      ready={name.trim() !== ""}
    >
      <TextField
        label={t.services.name}
        value={name}
        onChange={setName}
        help={t.projects.nameHelp}
        autoFocus
        required
        maxLength={63}
      />
      <TextField
        label={t.projects.description}
        value={description}
        onChange={setDescription}
        lines={3}
        maxLength={4000}
      />
    </FormDialog>
  );
}
