/** One change: who made it by which key, why, and each field before and after it. */

import { useQuery } from "@tanstack/react-query";
import { type AuditEntry, auditEntryQuery } from "@/api/audit";
import { useT } from "@/i18n";
import { type ChangedField, changedFields } from "@/lib/changed-fields";
import { DateTime } from "@/ui/ago";
import { Button } from "@/ui/button";
import { ProblemCard, Skeleton } from "@/ui/card";
import { Dialog } from "@/ui/dialog";
import { Example, Fact, Facts, Quiet } from "@/ui/layout";
import styles from "./audit.module.css";

export function AuditEntryDialog({ entry, onClose }: { entry: string; onClose: () => void }) {
  const t = useT();
  const { data, error } = useQuery(auditEntryQuery(entry));
  return (
    <Dialog
      title={data?.action ?? t.audit.title}
      onClose={onClose}
      actions={<Button onPress={onClose}>{t.common.close}</Button>}
    >
      {error && <ProblemCard error={error} />}
      {!data && !error && <Skeleton />}
      {data && <Change entry={data} />}
    </Dialog>
  );
}

function Change({ entry }: { entry: AuditEntry }) {
  const t = useT();
  const fields = changedFields(entry.before, entry.after);
  return (
    <>
      {entry.message && <p>{entry.message}</p>}
      <Facts>
        <Fact name={t.audit.at}>
          <DateTime at={entry.at} />
        </Fact>
        <Fact name={t.audit.actor}>{entry.actor}</Fact>
        <Fact name={t.audit.from}>{entry.source_address}</Fact>
        <Fact name={t.audit.key}>{entry.key ?? entry.key_id ?? t.common.none}</Fact>
        {entry.project && <Fact name={t.projects.one}>{entry.project}</Fact>}
        {entry.service && <Fact name={t.audit.filters.service}>{entry.service}</Fact>}
      </Facts>
      {fields.length === 0 ? (
        <Quiet>{t.audit.noFields}</Quiet>
      ) : (
        <dl aria-label={t.audit.fields}>
          {fields.map((one) => (
            <ChangedItem key={one.field} {...one} />
          ))}
        </dl>
      )}
      <details>
        <summary>{t.audit.details}</summary>
        <Example text={JSON.stringify(entry.details, null, 2)} />
      </details>
    </>
  );
}

function ChangedItem({ field, before, after }: ChangedField) {
  const t = useT();
  return (
    <div className={styles.change}>
      <dt>
        <code>{field}</code>
      </dt>
      <dd className={styles.before}>
        <span className={styles.when}>{t.audit.before}</span> {before ?? t.common.none}
      </dd>
      <dd>
        <span className={styles.when}>{t.audit.after}</span> {after ?? t.common.none}
      </dd>
    </div>
  );
}
