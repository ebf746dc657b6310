/** Folders: what models and data are stored in. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/client";
import { type Folder, folderActions, foldersQuery, type UsageMode } from "@/api/folders";
import { ProjectField, useProject } from "@/app/project";
import { useMayChangeAny } from "@/app/rights";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import { PageHead } from "@/ui/page-head";
import { Table } from "@/ui/table";

const MODES: readonly UsageMode[] = ["model", "data", "general"];

export function FoldersPage() {
  const t = useT();
  const found = useInfiniteQuery(foldersQuery(useProject()));
  const [making, setMaking] = useState(false);
  const mayChange = useMayChangeAny();
  const folders = found.data?.pages.flatMap((page) => page.items);
  const make = mayChange && (
    <Button kind="primary" onPress={() => setMaking(true)}>
      {t.folders.new}
    </Button>
  );
  return (
    <Page>
      <PageHead title={t.folders.title}>{folders && folders.length > 0 && make}</PageHead>
      {found.error && <ProblemCard error={found.error} onRetry={() => void found.refetch()} />}
      <Card flush>
        {!folders && !found.error && <Skeleton lines={6} />}
        {folders?.length === 0 && (
          <Empty title={t.folders.empty} action={make}>
            {t.folders.emptyHelp}
          </Empty>
        )}
        {folders && folders.length > 0 && <FolderTable folders={folders} />}
        {found.hasNextPage && (
          <div style={{ padding: 12 }}>
            <Button onPress={() => void found.fetchNextPage()}>{t.common.more}</Button>
          </div>
        )}
      </Card>
      {making && <NewFolder onClose={() => setMaking(false)} />}
    </Page>
  );
}

function FolderTable({ folders }: { folders: readonly Folder[] }) {
  const t = useT();
  return (
    <Table
      label={t.folders.title}
      rows={folders}
      rowKey={(folder) => folder.id}
      columns={[
        {
          id: "name",
          title: t.services.name,
          cell: (folder) => (
            <Link to="/folders/$folder" params={{ folder: folder.name }} search={{}}>
              <strong>{folder.name}</strong>
            </Link>
          ),
        },
        { id: "mode", title: t.folders.mode, cell: (folder) => t.folders.modes[folder.usage_mode] },
        { id: "source", title: t.folders.source, cell: (folder) => folder.source ?? t.common.none },
        { id: "created", title: t.folders.created, kind: "number", cell: (folder) => <Ago at={folder.created_at} /> },
      ]}
    />
  );
}

function NewFolder({ onClose }: { onClose: () => void }) {
  const t = useT();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [project, setProject] = useState("");
  const [mode, setMode] = useState<UsageMode>("model");
  const [error, setError] = useState<Error | null>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    try {
      const folder = await folderActions.create({ name: name.trim(), project: project || null, usage_mode: mode });
      void queries.invalidateQueries({ queryKey: ["folders"] });
      await navigate({ to: "/folders/$folder", params: { folder: folder.name }, search: {} });
    } catch (found) {
      setError(found as Error);
    }
  };
  const wrong = error instanceof ApiProblem ? error.errors.find((one) => one.field === "name") : undefined;
  return (
    <Dialog
      title={t.folders.new}
      onClose={onClose}
      actions={
        <>
          <Button onPress={onClose}>{t.common.cancel}</Button>
          <Button kind="primary" type="submit" form="new-folder" disabled={!name.trim()}>
            {t.folders.make}
          </Button>
        </>
      }
    >
      <form id="new-folder" onSubmit={(event) => void submit(event)} style={{ display: "grid", gap: 14 }}>
        <TextField
          label={t.services.name}
          value={name}
          onChange={setName}
          autoFocus
          required
          help={t.folders.nameHelp}
          error={wrong?.allowed}
        />
        <ProjectField value={project} onChange={setProject} />
        <Choice
          label={t.folders.mode}
          value={mode}
          onChange={setMode}
          options={MODES.map((value) => ({ value, label: t.folders.modes[value] }))}
        />
      </form>
      {error && !wrong && <ProblemCard error={error} />}
    </Dialog>
  );
}
