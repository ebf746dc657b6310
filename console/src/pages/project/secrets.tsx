/** Secrets of a project: names, versions and who uses them, never a value. */

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Secret, secretActions, secretQuery, secretsQuery } from "@/api/secrets";
import { useMayOwn } from "@/app/rights";
import { useT } from "@/i18n";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Confirm, Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { MoreIcon } from "@/ui/icons";
import { Line } from "@/ui/layout";
import { Menu } from "@/ui/menu";
import { PagedCard } from "@/ui/paged-card";
import { Table } from "@/ui/table";

type Asked = { what: "put" | "delete" | "versions"; secret: Secret | null };

export function SecretsTab() {
  const t = useT();
  const { name } = useParams({ from: "/projects/$name" });
  const queries = useQueryClient();
  const mayOwn = useMayOwn(name);
  const found = useInfiniteQuery(secretsQuery(name));
  const [asked, setAsked] = useState<Asked | null>(null);
  const read = () => queries.invalidateQueries({ queryKey: ["secrets"] });
  const close = () => setAsked(null);
  const secret = asked?.secret;
  return (
    <>
      <PagedCard
        label={t.projects.tabs.secrets}
        title={t.projects.tabs.secrets}
        actions={
          mayOwn && (
            <Button small kind="primary" onPress={() => setAsked({ what: "put", secret: null })}>
              {t.projects.newSecret}
            </Button>
          )
        }
        found={found}
        rowKey={(one) => one.id}
        empty={<Empty title={t.projects.noSecrets}>{t.projects.secretsHelp}</Empty>}
        columns={[
          { id: "name", title: t.services.name, cell: (one) => <strong>{one.name}</strong> },
          { id: "version", title: t.projects.version, kind: "number", cell: (one) => one.version },
          { id: "by", title: t.history.who, cell: (one) => one.updated_by },
          { id: "at", title: t.services.updated, cell: (one) => <Ago at={one.updated_at} /> },
          {
            id: "actions",
            title: "",
            kind: "number",
            cell: (one) => (
              <SecretActions mayOwn={mayOwn} secret={one} onAsk={(what) => setAsked({ what, secret: one })} />
            ),
          },
        ]}
      />
      {asked?.what === "put" && (
        <PutSecret project={name} name={secret?.name ?? null} onClose={close} onPut={() => void read()} />
      )}
      {asked?.what === "versions" && secret && <Versions project={name} secret={secret.name} onClose={close} />}
      {asked?.what === "delete" && secret && (
        <Confirm
          title={t.service.deleteTitle(secret.name)}
          text={t.projects.deleteSecretText}
          verb={t.service.delete}
          onConfirm={() => secretActions.remove(name, secret.name).then(read)}
          onClose={close}
        />
      )}
    </>
  );
}

type ActionsProps = { mayOwn: boolean; secret: Secret; onAsk: (what: Asked["what"]) => void };

function SecretActions({ mayOwn, secret, onAsk }: ActionsProps) {
  const t = useT();
  const own = [
    { id: "put", label: t.projects.rotate, onAction: () => onAsk("put") },
    { id: "delete", label: t.service.delete, onAction: () => onAsk("delete"), danger: true },
  ];
  return (
    <Menu
      label={`${t.common.more}: ${secret.name}`}
      icon={<MoreIcon />}
      actions={[
        { id: "versions", label: t.projects.versions, onAction: () => onAsk("versions") },
        ...(mayOwn ? own : []),
      ]}
    />
  );
}

type PutProps = { project: string; name: string | null; onClose: () => void; onPut: () => void };

function PutSecret({ project, name, onClose, onPut }: PutProps) {
  const t = useT();
  const [typed, setTyped] = useState("");
  const [value, setValue] = useState("");
  const put = async () => {
    await secretActions.put(project, name ?? typed.trim(), value);
    onPut();
    onClose();
  };
  return (
    <FormDialog
      title={name ? `${t.projects.rotate}: ${name}` : t.projects.newSecret}
      verb={t.projects.save}
      onSubmit={put}
      onClose={onClose}
      ready={value !== "" && (name !== null || typed.trim() !== "")}
    >
      <p>{name ? t.projects.rotateHelp : t.projects.secretsHelp}</p>
      {name === null && (
        <TextField
          label={t.services.name}
          value={typed}
          onChange={setTyped}
          help={t.projects.nameHelp}
          autoFocus
          required
          maxLength={63}
          mono
        />
      )}
      <TextField
        label={t.projects.value}
        value={value}
        onChange={setValue}
        type="password"
        autoComplete="off"
        autoFocus={name !== null}
        required
        maxLength={65536}
      />
    </FormDialog>
  );
}

function Versions({ project, secret, onClose }: { project: string; secret: string; onClose: () => void }) {
  const t = useT();
  const { data, error } = useQuery(secretQuery(project, secret));
  return (
    <Dialog title={secret} onClose={onClose} actions={<Button onPress={onClose}>{t.common.close}</Button>}>
      {error && <ProblemCard error={error} />}
      {!data && !error && <Skeleton />}
      {data && (
        <Table
          label={t.projects.versions}
          rows={data.versions}
          rowKey={(one) => String(one.version)}
          columns={[
            { id: "version", title: t.projects.version, cell: (one) => one.version },
            { id: "by", title: t.history.who, cell: (one) => one.created_by },
            { id: "at", title: t.folders.created, cell: (one) => <Ago at={one.created_at} /> },
            {
              id: "services",
              title: t.projects.usedBy,
              kind: "wrap",
              cell: (one) => <Line>{one.services?.join(", ") || t.common.none}</Line>,
            },
          ]}
        />
      )}
    </Dialog>
  );
}
