/** What the changes of the form come to, a message, and the button that saves them. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiProblem } from "@/api/client";
import { changeQuery, type ServiceChange } from "@/api/resolutions";
import { type ServiceDetail, serviceActions, serviceQuery } from "@/api/services";
import { type Messages, useT } from "@/i18n";
import { useSettled } from "@/lib/settled";
import { conflictsOf, requestOf, type Settings } from "@/pages/service/settings/changes";
import { commandOf } from "@/pages/service/settings/command";
import { ConflictCard } from "@/pages/service/settings/conflict-card";
import type { Edits } from "@/pages/service/settings/fields";
import { type WrongFields, wrongFields } from "@/pages/service/settings/wrong-fields";
import { Effect } from "@/resolution/effect";
import { Problems } from "@/resolution/problems";
import { Quota } from "@/resolution/quota";
import { Button } from "@/ui/button";
import { Card, ProblemCard } from "@/ui/card";
import { CopyButton } from "@/ui/copy";
import { Check, TextField } from "@/ui/field";
import styles from "./settings.module.css";

const ASK_AFTER_MS = 300;

type Props = {
  service: ServiceDetail;
  base: { settings: Settings; etag: string };
  current: Settings;
  edits: Edits;
  onWrong: (wrong: WrongFields) => void;
  onEdits: (edits: Edits) => void;
  onSaved: () => void;
  onBase: () => void;
};

export function SavePanel({ service, base, current, edits, onWrong, onEdits, onSaved, onBase }: Props) {
  const t = useT();
  const queries = useQueryClient();
  const [message, setMessage] = useState("");
  const [renewal, setRenewal] = useState({ files: false, secrets: false });
  const [error, setError] = useState<Error | null>(null);
  const [working, setWorking] = useState(false);
  const change: ServiceChange = {
    ...requestOf(base.settings, edits),
    ...(renewal.files && edits["spec.folder"] === undefined ? specOf(base.settings, edits) : {}),
    ...(renewal.secrets ? { refresh_secrets: true } : {}),
  };
  const asks = Object.keys(change).length > 0;
  const settled = useSettled(change, ASK_AFTER_MS);
  const found = useQuery({ ...changeQuery(service.name, settled), enabled: asks && Object.keys(settled).length > 0 });
  const resolution = asks && !found.error ? found.data : undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: at each answer
  useEffect(
    () => onWrong(asks ? wrongFields(found.error, found.data?.problems ?? []) : {}),
    [asks, found.error, found.data],
  );
  const conflict = error instanceof ApiProblem && error.status === 412;
  const save = async () => {
    setWorking(true);
    setError(null);
    try {
      const changed = await serviceActions.change(service.name, { ...change, message }, base.etag);
      queries.setQueryData(serviceQuery(service.name).queryKey, changed);
      setMessage("");
      setRenewal({ files: false, secrets: false });
      onSaved();
      await queries.invalidateQueries({ queryKey: ["services"] });
    } catch (failed) {
      setError(failed as Error);
      if (failed instanceof ApiProblem && failed.status === 412)
        await queries.invalidateQueries({ queryKey: ["services", "one", service.name] });
    } finally {
      setWorking(false);
    }
  };
  if (conflict && service.etag !== base.etag)
    return (
      <ConflictCard
        conflicts={conflictsOf(base.settings, current, edits)}
        onKeep={() => {
          setError(null);
          onBase();
        }}
        onTake={(ids) => {
          setError(null);
          onEdits(Object.fromEntries(Object.entries(edits).filter(([id]) => !ids.has(id))));
          onBase();
        }}
      />
    );
  return (
    <>
      <Card title={t.newService.effect}>
        <div className={styles.fields}>
          <Renewals service={service} settings={base.settings} renewal={renewal} onChange={setRenewal} />
          {!asks && <p className={styles.help}>{t.settings.unchanged}</p>}
          {asks && found.error && <ProblemCard error={found.error} />}
          {resolution && <Effect resolution={resolution} />}
          {asks && (
            <>
              <TextField
                label={t.history.message}
                help={t.settings.messageHelp}
                value={message}
                onChange={setMessage}
                maxLength={4000}
              />
              {error && !conflict && <ProblemCard error={error} />}
              <div className={styles.actions}>
                <Button kind="primary" disabled={working || found.error !== null} onPress={() => void save()}>
                  {verb(t, resolution)}
                </Button>
                <Button onPress={() => onEdits({})}>{t.settings.discard}</Button>
                <CopyButton text={commandOf(service.name, { ...change, message })} label={t.common.command} />
              </div>
            </>
          )}
        </div>
      </Card>
      {resolution && <Problems problems={resolution.problems} />}
      {resolution?.effect === "rollout" && <Quota resolution={resolution} />}
    </>
  );
}

function verb(t: Messages, resolution: { effect: string | null; revision: number | null } | undefined): string {
  if (resolution?.effect === "rollout" && resolution.revision !== null) return t.settings.rollOut(resolution.revision);
  return t.settings.save;
}

function specOf(settings: Settings, edits: Edits): ServiceChange {
  return { spec: settings.spec as NonNullable<ServiceChange["spec"]>, ...requestOf(settings, edits) };
}

type RenewalProps = {
  service: ServiceDetail;
  settings: Settings;
  renewal: { files: boolean; secrets: boolean };
  onChange: (renewal: { files: boolean; secrets: boolean }) => void;
};

/** What a new revision can take anew although nothing of the spec changes: files of the folder, versions of secrets. */
function Renewals({ service, settings: { spec }, renewal, onChange }: RenewalProps) {
  const t = useT();
  const secrets = Object.keys((spec.secret_environ as object | undefined) ?? {}).length > 0 || spec.pull_secret;
  return (
    <>
      {service.folder_changed && (
        <Check
          label={t.settings.newFiles}
          checked={renewal.files}
          onChange={(files) => onChange({ ...renewal, files })}
        />
      )}
      {secrets && (
        <Check
          label={t.settings.newSecrets}
          checked={renewal.secrets}
          onChange={(chosen) => onChange({ ...renewal, secrets: chosen })}
        />
      )}
    </>
  );
}
