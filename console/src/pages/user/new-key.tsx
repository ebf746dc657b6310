/** Form of a new API key: when it ends, and what it may. */

import { useState } from "react";
import { type NewKey, userActions } from "@/api/users";
import { useProjectNames } from "@/app/project";
import { useT } from "@/i18n";
import { Choice } from "@/ui/choice";
import { Check, TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";

const DAY_S = 86_400;
const DAYS = ["7", "30", "90", "365", ""] as const;

type Props = { user: string; onClose: () => void; onMade: (key: NewKey) => void };

export function NewKeyDialog({ user, onClose, onMade }: Props) {
  const t = useT();
  const names = useProjectNames();
  const [name, setName] = useState("");
  const [days, setDays] = useState<(typeof DAYS)[number]>("90");
  const [readOnly, setReadOnly] = useState(false);
  const [project, setProject] = useState("");
  const create = async () =>
    onMade(
      await userActions.createKey(user, {
        name: name.trim(),
        expires_in_s: days ? Number(days) * DAY_S : null,
        read_only: readOnly,
        projects: project ? [project] : null,
      }),
    );
  return (
    <FormDialog
      title={t.users.newKey}
      verb={t.users.makeKey}
      onSubmit={create}
      onClose={onClose}
      ready={name.trim() !== ""}
    >
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
        options={DAYS.map((value) => ({ value, label: value ? t.access.days(Number(value)) : t.users.never }))}
      />
      <Choice
        label={t.users.goodFor}
        value={project}
        onChange={setProject}
        options={[{ value: "", label: t.projects.all }, ...names.map((value) => ({ value, label: value }))]}
      />
      <Check label={t.users.readOnlyHelp} checked={readOnly} onChange={setReadOnly} />
    </FormDialog>
  );
}
