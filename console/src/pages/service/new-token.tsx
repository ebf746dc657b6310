/** A new token, shown once with calls to paste: curl, Python, JavaScript. */

import { type FormEvent, useState } from "react";
import { type NewToken, tokenActions } from "@/api/access";
import type { ServiceDetail } from "@/api/services";
import { useT } from "@/i18n";
import { callsOf } from "@/pages/service/calls";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Copyable, CopyButton } from "@/ui/copy";
import { Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import styles from "./service-page.module.css";

const DAY_S = 86_400;
const DAYS = ["1", "7", "30", "90", "365"] as const;

type Props = { service: ServiceDetail; onClose: () => void; onMade: () => void };

export function NewTokenDialog({ service, onClose, onMade }: Props) {
  const t = useT();
  const [name, setName] = useState("");
  const [days, setDays] = useState<(typeof DAYS)[number]>("30");
  const [made, setMade] = useState<NewToken | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const create = (event: FormEvent) => {
    event.preventDefault();
    setError(null);
    void tokenActions.create(service.name, { name: name.trim(), expires_in_s: Number(days) * DAY_S }).then((token) => {
      setMade(token);
      onMade();
    }, setError);
  };
  if (made) return <Made token={made} service={service} onClose={onClose} />;
  return (
    <Dialog
      title={t.access.new}
      onClose={onClose}
      actions={
        <>
          <Button onPress={onClose}>{t.common.cancel}</Button>
          <Button kind="primary" type="submit" form="new-token" disabled={!name.trim()}>
            {t.access.make}
          </Button>
        </>
      }
    >
      <form id="new-token" onSubmit={create} style={{ display: "grid", gap: 14 }}>
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
      </form>
      {error && <ProblemCard error={error} />}
    </Dialog>
  );
}

function Made({ token, service, onClose }: { token: NewToken; service: ServiceDetail; onClose: () => void }) {
  const t = useT();
  const calls = callsOf(service, token.token);
  const [shown, setShown] = useState<keyof typeof calls>("curl");
  return (
    <Dialog
      title={token.name}
      onClose={onClose}
      fixed
      actions={
        <Button kind="primary" onPress={onClose}>
          {t.access.kept}
        </Button>
      }
    >
      <p>{t.access.once}</p>
      <Copyable text={token.token} label={token.name} />
      <Choice
        label={t.service.try}
        value={shown}
        onChange={setShown}
        options={(Object.keys(calls) as (keyof typeof calls)[]).map((value) => ({ value, label: value }))}
      />
      <div className={styles.spread}>
        <pre className={styles.example}>{calls[shown]}</pre>
        <CopyButton text={calls[shown]} label={shown} />
      </div>
    </Dialog>
  );
}
