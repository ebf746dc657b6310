/** Users of the installation; operators make them. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { type User, userActions, usersQuery } from "@/api/users";
import { useMayOperate } from "@/app/rights";
import { Page } from "@/app/shell";
import { type Messages, useT } from "@/i18n";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/card";
import { Check, TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { PageHead } from "@/ui/page-head";
import { PagedCard } from "@/ui/paged-card";
import { Badge } from "@/ui/status";
import type { Column } from "@/ui/table";

export function UsersPage() {
  const t = useT();
  const mayOperate = useMayOperate();
  const [making, setMaking] = useState(false);
  return (
    <Page>
      <PageHead title={t.users.title}>
        {mayOperate && (
          <Button kind="primary" onPress={() => setMaking(true)}>
            {t.users.new}
          </Button>
        )}
      </PageHead>
      <PagedCard
        label={t.users.title}
        found={useInfiniteQuery(usersQuery)}
        columns={columnsOf(t)}
        rowKey={(user) => user.id}
        empty={<Empty title={t.users.empty} />}
      />
      {making && <NewUser onClose={() => setMaking(false)} />}
    </Page>
  );
}

function columnsOf(t: Messages): readonly Column<User>[] {
  return [
    {
      id: "name",
      title: t.services.name,
      cell: (user) => (
        <Link to="/users/$user" params={{ user: user.name }}>
          <strong>{user.name}</strong>
        </Link>
      ),
    },
    {
      id: "state",
      title: t.services.status,
      cell: (user) => (
        <Badge look={user.disabled ? "stopped" : "healthy"}>{user.disabled ? t.users.disabled : t.users.enabled}</Badge>
      ),
    },
    { id: "role", title: t.users.rights, cell: (user) => (user.operator ? t.users.operator : t.users.member) },
    {
      id: "password",
      title: t.users.password,
      cell: (user) => (user.has_password ? t.users.isSet : t.common.none),
    },
    { id: "created", title: t.folders.created, kind: "number", cell: (user) => <Ago at={user.created_at} /> },
  ];
}

function NewUser({ onClose }: { onClose: () => void }) {
  const t = useT();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [operator, setOperator] = useState(false);
  const create = async () => {
    const made = await userActions.create({ name: name.trim(), operator });
    void queries.invalidateQueries({ queryKey: ["users"] });
    await navigate({ to: "/users/$user", params: { user: made.name } });
  };
  return (
    <FormDialog title={t.users.new} verb={t.users.make} onSubmit={create} onClose={onClose} ready={name.trim() !== ""}>
      <TextField label={t.services.name} value={name} onChange={setName} autoFocus required maxLength={64} />
      <Check label={t.users.isOperator} checked={operator} onChange={setOperator} />
      <p>{t.users.newHelp}</p>
    </FormDialog>
  );
}
