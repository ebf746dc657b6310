/** A user's password: set, changed, taken away. */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { userActions } from "@/api/users";
import { useLogin } from "@/app/login-gate";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { Card } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { Line, Quiet, Stack } from "@/ui/layout";
import { toast } from "@/ui/toasts";

const SHORTEST = 12;
const LONGEST = 256;

/** `own`: who changes the own one gives the present one, too. */
type Props = { user: string; set: boolean; own: boolean };

export function PasswordCard({ user, set, own }: Props) {
  const t = useT();
  const queries = useQueryClient();
  const { read_only: readOnly } = useLogin();
  const [asked, setAsked] = useState<"set" | "unset" | null>(null);
  const done = () => {
    setAsked(null);
    toast(t.users.passwordDone);
    void queries.invalidateQueries({ queryKey: ["login"] });
    return queries.invalidateQueries({ queryKey: ["users"] });
  };
  return (
    <Card title={t.users.password}>
      <Stack>
        <Quiet>{set ? t.users.passwordSet : t.users.passwordUnset}</Quiet>
        {!readOnly && (
          <Line>
            <Button onPress={() => setAsked("set")}>{set ? t.users.changePassword : t.users.setPassword}</Button>
            {set && !own && <Button onPress={() => setAsked("unset")}>{t.users.unsetPassword}</Button>}
          </Line>
        )}
      </Stack>
      {asked === "set" && <SetPassword user={user} current={own && set} onClose={() => setAsked(null)} onSet={done} />}
      {asked === "unset" && (
        <Confirm
          title={user}
          text={t.users.unsetPasswordText}
          verb={t.users.unsetPassword}
          onConfirm={() => userActions.setPassword(user, null, null).then(done)}
          onClose={() => setAsked(null)}
        />
      )}
    </Card>
  );
}

type SetProps = { user: string; current: boolean; onClose: () => void; onSet: () => Promise<unknown> };

function SetPassword({ user, current, onClose, onSet }: SetProps) {
  const t = useT();
  const [before, setBefore] = useState("");
  const [password, setPassword] = useState("");
  const save = () => userActions.setPassword(user, password, current ? before : null).then(onSet);
  return (
    <FormDialog
      title={`${t.users.password}: ${user}`}
      verb={t.projects.save}
      onSubmit={save}
      onClose={onClose}
      ready={password.length >= SHORTEST}
    >
      <p>{t.users.passwordText}</p>
      {current && (
        <TextField
          label={t.users.presentPassword}
          value={before}
          onChange={setBefore}
          type="password"
          autoComplete="current-password"
          autoFocus
          required
          maxLength={LONGEST}
        />
      )}
      <TextField
        label={t.users.newPassword}
        value={password}
        onChange={setPassword}
        type="password"
        autoComplete="new-password"
        help={t.users.passwordHelp}
        autoFocus={!current}
        required
        maxLength={LONGEST}
      />
    </FormDialog>
  );
}
