/** Logins of a user that have not ended; each can be ended from elsewhere. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Login, loginsQuery, userActions } from "@/api/users";
import { useLogin } from "@/app/login-gate";
import { type Messages, useT } from "@/i18n";
import { agentName } from "@/lib/agent-name";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Empty, ProblemCard } from "@/ui/card";
import { Twofold } from "@/ui/layout";
import { PagedCard } from "@/ui/paged-card";
import type { Column } from "@/ui/table";
import { toast } from "@/ui/toasts";

export function Logins({ user }: { user: string }) {
  const t = useT();
  const queries = useQueryClient();
  const { read_only: readOnly } = useLogin();
  const found = useInfiniteQuery(loginsQuery(user));
  const [error, setError] = useState<Error | null>(null);
  const end = (login: Login) => {
    setError(null);
    void userActions.endLogin(user, login.id).then(() => {
      toast(t.users.ended);
      return queries.invalidateQueries({ queryKey: ["users", "logins", user] });
    }, setError);
  };
  return (
    <>
      {error && <ProblemCard error={error} />}
      <PagedCard
        label={t.users.logins}
        title={t.users.logins}
        found={found}
        rowKey={(login) => login.id}
        empty={<Empty title={t.users.noLogins} />}
        columns={[
          ...columnsOf(t),
          {
            id: "end",
            title: "",
            kind: "number",
            cell: (login) =>
              !readOnly &&
              !login.current && (
                <Button small onPress={() => end(login)}>
                  {t.users.end}
                </Button>
              ),
          },
        ]}
      />
    </>
  );
}

function columnsOf(t: Messages): readonly Column<Login>[] {
  return [
    {
      id: "from",
      title: t.users.from,
      cell: (login) => (
        <span title={login.user_agent}>
          <Twofold
            first={`${agentName(login.user_agent)} · ${login.source_address}`}
            second={login.current ? t.users.thisLogin : ""}
          />
        </span>
      ),
    },
    { id: "by", title: t.users.by, cell: (login) => t.users.methods[login.method] },
    { id: "started", title: t.users.started, cell: (login) => <Ago at={login.created_at} /> },
    { id: "used", title: t.users.lastUsed, cell: (login) => <Ago at={login.last_used_at} /> },
    { id: "ends", title: t.users.ends, kind: "number", cell: (login) => <Ago at={login.ends_at} /> },
  ];
}
