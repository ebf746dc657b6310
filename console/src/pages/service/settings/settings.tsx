/** Settings of a service: a form, and beside it what its changes come to, as the server says it, before they are saved. */

import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { revisionQuery } from "@/api/history";
import { type ServiceDetail, serviceQuery } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { draft, keepDraft } from "@/lib/drafts";
import { changesOf, type Settings, sectionsOf } from "@/pages/service/settings/changes";
import { DeleteCard } from "@/pages/service/settings/delete-card";
import { type Edits, SECTIONS } from "@/pages/service/settings/fields";
import { LeaveDialog } from "@/pages/service/settings/leave-dialog";
import { SavePanel } from "@/pages/service/settings/save-panel";
import { SectionCard } from "@/pages/service/settings/section-card";
import type { WrongFields } from "@/pages/service/settings/wrong-fields";
import { ProblemCard, Skeleton } from "@/ui/card";
import styles from "./settings.module.css";

export function SettingsTab() {
  const { service: name } = useParams({ from: "/services/$service" });
  const { data: service } = useQuery(serviceQuery(name));
  const revision = useQuery({ ...revisionQuery(name, service?.revision ?? 0), enabled: service !== undefined });
  if (!service) return null;
  if (!revision.data)
    return revision.error ? (
      <ProblemCard error={revision.error} onRetry={() => void revision.refetch()} />
    ) : (
      <Skeleton lines={8} />
    );
  const settings = { ...service, spec: revision.data.spec } as unknown as Settings;
  return <SettingsForm key={service.id} service={service} settings={settings} />;
}

function SettingsForm({ service, settings }: { service: ServiceDetail; settings: Settings }) {
  const mayChange = useMayChange(service.project);
  const form = `settings:${service.id}`;
  const [edits, setEdits] = useState<Edits>(() => (mayChange ? (draft<Edits>(form) ?? {}) : {}));
  // What the edits began from: a change of somebody else is seen, and not overwritten.
  const [base, setBase] = useState({ settings, etag: service.etag });
  const [wrong, setWrong] = useState<WrongFields>({});
  const changes = changesOf(base.settings, edits);
  const dirty = Object.keys(changes).length > 0;
  useEffect(() => {
    if (!dirty) setBase({ settings, etag: service.etag });
  }, [dirty, settings, service.etag]);
  // Values of variables may be secret: they are not kept.
  useEffect(() => {
    const { "spec.environ": _environ, ...kept } = changes;
    keepDraft(form, Object.keys(kept).length > 0 ? kept : null);
  });
  const touched = sectionsOf(changes);
  return (
    <div className={styles.columns}>
      <fieldset className={styles.form} disabled={!mayChange}>
        {SECTIONS.map((section) => (
          <SectionCard
            key={section}
            section={section}
            settings={base.settings}
            project={service.project}
            edits={edits}
            changed={touched.has(section)}
            wrong={wrong}
            onChange={(change) => setEdits({ ...edits, ...change })}
          />
        ))}
        {mayChange && <DeleteCard service={service} />}
      </fieldset>
      {mayChange && (
        <div className={styles.aside}>
          <SavePanel
            service={service}
            base={base}
            current={settings}
            edits={changes}
            onWrong={setWrong}
            onSaved={() => setEdits({})}
            onEdits={setEdits}
            onBase={() => setBase({ settings, etag: service.etag })}
          />
        </div>
      )}
      <LeaveDialog dirty={dirty} onLeave={() => keepDraft(form, null)} />
    </div>
  );
}
