/** Tokens of a project, which are good for all of its services; a new one is shown once. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import type { NewToken, Token } from "@/api/access";
import { projectTokenActions, projectTokensQuery } from "@/api/project-tokens";
import { useMayChange } from "@/app/rights";
import { type Messages, useT } from "@/i18n";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Confirm } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { PagedCard } from "@/ui/paged-card";
import { ShownOnce } from "@/ui/shown-once";
import type { Column } from "@/ui/table";

const DAY_S = 86_400;
const DAYS = ["1", "7", "30", "90", "365"] as const;

export function ProjectTokensTab() {
  const t = useT();
  const { name } = useParams({ from: "/projects/$name" });
  const queries = useQueryClient();
  const mayChange = useMayChange(name);
  const found = useInfiniteQuery(projectTokensQuery(name));
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<NewToken | null>(null);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const read = () => queries.invalidateQueries({ queryKey: ["access", "project-tokens", name] });
  return (
    <>
      <PagedCard
        label={t.access.tokens}
        title={t.access.tokens}
        actions={
          mayChange && (
            <Button small kind="primary" onPress={() => setMaking(true)}>
              {t.access.new}
            </Button>
          )
        }
        found={found}
        rowKey={(token) => token.id}
        empty={<Empty title={t.access.empty}>{t.projects.tokensHelp}</Empty>}
        columns={columnsOf(t, mayChange ? setRevoking : null)}
      />
      {making && (
        <NewProjectToken
          project={name}
          onClose={() => setMaking(false)}
          onMade={(token) => {
            setMaking(false);
            setMade(token);
            void read();
          }}
        />
      )}
      {made && <ShownOnce title={made.name} secret={made.token} onClose={() => setMade(null)} />}
      {revoking && (
        <Confirm
          title={t.access.revokeTitle(revoking.name)}
          text={t.access.revokeText}
          verb={t.access.revoke}
          onConfirm={() => projectTokenActions.revoke(name, revoking.id).then(read)}
          onClose={() => setRevoking(null)}
        />
      )}
    </>
  );
}

function columnsOf(t: Messages, onRevoke: ((token: Token) => void) | null): readonly Column<Token>[] {
  return [
    { id: "name", title: t.services.name, cell: (token) => <strong>{token.name}</strong> },
    { id: "by", title: t.history.who, cell: (token) => token.created_by },
    { id: "created", title: t.folders.created, cell: (token) => <Ago at={token.created_at} /> },
    {
      id: "ends",
      title: t.access.expires,
      cell: (token) => (token.revoked_at ? t.access.revoked : <Ago at={token.expires_at} />),
    },
    {
      id: "revoke",
      title: "",
      kind: "number",
      cell: (token) =>
        onRevoke &&
        !token.revoked_at && (
          <Button small onPress={() => onRevoke(token)}>
            {t.access.revoke}
          </Button>
        ),
    },
  ];
}

type NewProps = { project: string; onClose: () => void; onMade: (token: NewToken) => void };

function NewProjectToken({ project, onClose, onMade }: NewProps) {
  const t = useT();
  const [name, setName] = useState("");
  const [days, setDays] = useState<(typeof DAYS)[number]>("30");
  const create = async () =>
    onMade(await projectTokenActions.create(project, { name: name.trim(), expires_in_s: Number(days) * DAY_S }));
  return (
    <FormDialog
      title={t.access.new}
      verb={t.access.make}
      onSubmit={create}
      onClose={onClose}
      ready={name.trim() !== ""}
    >
      <p>{t.projects.tokensHelp}</p>
      <TextField
        label={t.services.name}
        value={name}
        onChange={setName}
        help={t.access.nameHelp}
        autoFocus
        required
        maxLength={64}
      />
      <Choice
        label={t.access.expires}
        value={days}
        onChange={setDays}
        options={DAYS.map((value) => ({ value, label: t.access.days(Number(value)) }))}
      />
    </FormDialog>
  );
}
