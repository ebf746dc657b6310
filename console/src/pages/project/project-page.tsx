/** A project: its head with description and actions, and the tabs below. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Project, projectActions, projectQuery } from "@/api/projects";
import { useMayOwn } from "@/app/rights";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { Card, ProblemCard, Skeleton } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { MoreIcon } from "@/ui/icons";
import { Quiet } from "@/ui/layout";
import { Menu } from "@/ui/menu";
import { PageHead } from "@/ui/page-head";
import { Tabs, tabClass } from "@/ui/tabs";

const TABS = [
  { to: "/projects/$name", name: "resources" },
  { to: "/projects/$name/members", name: "members" },
  { to: "/projects/$name/tokens", name: "tokens" },
  { to: "/projects/$name/secrets", name: "secrets" },
  { to: "/projects/$name/webhooks", name: "webhooks", owners: true },
] as const;

export function ProjectPage() {
  const t = useT();
  const { name } = useParams({ from: "/projects/$name" });
  const { data: project, error, refetch } = useQuery(projectQuery(name));
  const mayOwn = useMayOwn(name);
  return (
    <Page>
      <PageHead title={name}>{project && mayOwn && <Actions project={project} />}</PageHead>
      {error && <ProblemCard error={error} onRetry={() => void refetch()} />}
      {!project && !error && (
        <Card>
          <Skeleton />
        </Card>
      )}
      {project && (
        <>
          {project.description && <Quiet>{project.description}</Quiet>}
          <Tabs label={name}>
            {TABS.filter((tab) => mayOwn || !("owners" in tab)).map((tab) => (
              <Link
                key={tab.to}
                to={tab.to}
                params={{ name }}
                className={tabClass}
                activeOptions={{ exact: true, includeSearch: false }}
              >
                {t.projects.tabs[tab.name]}
              </Link>
            ))}
          </Tabs>
          <Outlet />
        </>
      )}
    </Page>
  );
}

function Actions({ project }: { project: Project }) {
  const t = useT();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [asked, setAsked] = useState<"edit" | "delete" | null>(null);
  const remove = async () => {
    await projectActions.remove(project.name);
    await navigate({ to: "/projects", search: { project: undefined } });
    void queries.invalidateQueries({ queryKey: ["login"] });
    void queries.invalidateQueries({ queryKey: ["projects", "list"] });
  };
  return (
    <>
      <Button onPress={() => setAsked("edit")}>{t.projects.edit}</Button>
      <Menu
        label={t.common.more}
        icon={<MoreIcon />}
        actions={[{ id: "delete", label: t.service.delete, onAction: () => setAsked("delete"), danger: true }]}
      />
      {asked === "edit" && <EditProject project={project} onClose={() => setAsked(null)} />}
      {asked === "delete" && (
        <Confirm
          title={t.service.deleteTitle(project.name)}
          text={t.projects.deleteText}
          verb={t.service.delete}
          name={project.name}
          onConfirm={remove}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}

function EditProject({ project, onClose }: { project: Project; onClose: () => void }) {
  const t = useT();
  const queries = useQueryClient();
  const [description, setDescription] = useState(project.description);
  const save = async () => {
    const changed = await projectActions.change(project.name, { description: description.trim() }, project.etag);
    queries.setQueryData(projectQuery(project.name).queryKey, changed);
    onClose();
  };
  return (
    <FormDialog title={project.name} verb={t.projects.save} onSubmit={save} onClose={onClose}>
      <TextField
        label={t.projects.description}
        value={description}
        onChange={setDescription}
        lines={5}
        maxLength={4000}
        autoFocus
      />
    </FormDialog>
  );
}
