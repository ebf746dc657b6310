/** Form of a new webhook: its URL, the secret that signs deliveries, and which events it gets. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { secretsQuery } from "@/api/secrets";
import { webhookActions } from "@/api/webhooks";
import { useT } from "@/i18n";
import { Choice } from "@/ui/choice";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { Note } from "@/ui/layout";

type Props = { project: string; onClose: () => void; onMade: () => void };

export function NewWebhook({ project, onClose, onMade }: Props) {
  const t = useT();
  const found = useInfiniteQuery(secretsQuery(project));
  const secrets = found.data?.pages.flatMap((page) => page.items.map((one) => one.name)) ?? [];
  const [name, setName] = useState("");
  const [url, setUrl] = useState("https://");
  const [chosen, setChosen] = useState("");
  const [kinds, setKinds] = useState("*");
  const secret = chosen || secrets[0] || "";
  const create = async () => {
    const wanted = kinds.split(/[\s,]+/).filter(Boolean);
    await webhookActions.create(project, { name: name.trim(), url: url.trim(), secret, kinds: wanted });
    onMade();
    onClose();
  };
  return (
    <FormDialog
      title={t.webhooks.new}
      verb={t.webhooks.make}
      onSubmit={create}
      onClose={onClose}
      ready={name.trim() !== "" && secret !== ""}
    >
      <TextField label={t.services.name} value={name} onChange={setName} autoFocus required maxLength={63} />
      <TextField label={t.webhooks.url} value={url} onChange={setUrl} required maxLength={2048} mono />
      {found.data && secrets.length === 0 ? (
        <Note>{t.webhooks.noSecret}</Note>
      ) : (
        <Choice
          label={t.webhooks.secret}
          value={secret}
          onChange={setChosen}
          options={secrets.map((value) => ({ value, label: value }))}
        />
      )}
      <TextField
        label={t.webhooks.kinds}
        value={kinds}
        onChange={setKinds}
        help={t.webhooks.kindsHelp}
        maxLength={2000}
        mono
      />
    </FormDialog>
  );
}
