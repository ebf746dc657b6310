/** A user, for operators: what he may, whether he may come in, his keys and logins. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type User, userActions, userQuery } from "@/api/users";
import { useMayOperate } from "@/app/rights";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { Keys } from "@/pages/user/keys";
import { Logins } from "@/pages/user/logins";
import { PasswordCard } from "@/pages/user/password";
import { Button } from "@/ui/button";
import { Card, ProblemCard, Skeleton } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { Note, Quiet } from "@/ui/layout";
import { PageHead } from "@/ui/page-head";

export function UserPage() {
  const t = useT();
  const { user: name } = useParams({ from: "/users/$user" });
  const { data: user, error, refetch } = useQuery(userQuery(name));
  return (
    <Page>
      <PageHead title={name}>{user && <Actions user={user} />}</PageHead>
      {error && <ProblemCard error={error} onRetry={() => void refetch()} />}
      {!user && !error && (
        <Card>
          <Skeleton />
        </Card>
      )}
      {user && (
        <>
          <Quiet>{user.operator ? t.users.operatorText : t.users.memberText}</Quiet>
          {user.disabled && <Note>{t.users.disabledText}</Note>}
          <Keys user={name} />
          <Logins user={name} />
          <PasswordCard user={name} set={user.has_password ?? false} own={false} />
        </>
      )}
    </Page>
  );
}

type Asked = "operator" | "disable" | null;

function Actions({ user }: { user: User }) {
  const t = useT();
  const queries = useQueryClient();
  const mayOperate = useMayOperate();
  const [asked, setAsked] = useState<Asked>(null);
  const [error, setError] = useState<Error | null>(null);
  if (!mayOperate) return null;
  const change = (body: { operator?: boolean; disabled?: boolean }) =>
    userActions.change(user.name, body).then((changed) => {
      queries.setQueryData(userQuery(user.name).queryKey, changed);
      return queries.invalidateQueries({ queryKey: ["users", "list"] });
    });
  const enable = () => {
    setError(null);
    void change({ disabled: false }).catch(setError);
  };
  return (
    <>
      <Button onPress={() => setAsked("operator")}>
        {user.operator ? t.users.takeOperator : t.users.makeOperator}
      </Button>
      {user.disabled ? (
        <Button onPress={enable}>{t.users.enable}</Button>
      ) : (
        <Button onPress={() => setAsked("disable")}>{t.users.disable}</Button>
      )}
      {error && <ProblemCard error={error} />}
      {asked === "operator" && (
        <Confirm
          title={user.name}
          text={user.operator ? t.users.takeOperatorText : t.users.makeOperatorText}
          verb={user.operator ? t.users.takeOperator : t.users.makeOperator}
          onConfirm={() => change({ operator: !user.operator })}
          onClose={() => setAsked(null)}
        />
      )}
      {asked === "disable" && (
        <Confirm
          title={t.users.disableTitle(user.name)}
          text={t.users.disableText}
          verb={t.users.disable}
          onConfirm={() => change({ disabled: true })}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}
