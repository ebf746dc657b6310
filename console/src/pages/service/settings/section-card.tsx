/** Fields of one part of the settings; one that was changed is marked, and can be set back. */

import { type ReactNode, useMemo } from "react";
import { useT } from "@/i18n";
import { type Settings, textAt } from "@/pages/service/settings/changes";
import { type Edits, FIELDS, type Field, type FieldId, type Section } from "@/pages/service/settings/fields";
import { useOffers } from "@/pages/service/settings/offers";
import type { WrongFields } from "@/pages/service/settings/wrong-fields";
import { Button } from "@/ui/button";
import { Card } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Check, TextField } from "@/ui/field";
import styles from "./settings.module.css";

const TALL: readonly Field["kind"][] = ["lines", "list", "pairs", "slots", "steps", "mounts", "command"];
const WIDE: readonly Field["kind"][] = ["lines", "command", "check"];
const MOST_LINES = 8;
const LONGEST = 100_000;

type Props = {
  section: Section;
  settings: Settings;
  project: string;
  edits: Edits;
  changed: boolean;
  wrong: WrongFields;
  onChange: (change: Edits) => void;
};

export function SectionCard({ section, settings, project, edits, changed, wrong, onChange }: Props) {
  const t = useT();
  const fields = useMemo(() => FIELDS.filter((field) => field.section === section), [section]);
  const reset = () => onChange(Object.fromEntries(fields.map(({ id }) => [id, textAt(settings, id)])));
  const title = (
    <>
      {t.settings.sections[section]}
      {changed && <span className={styles.changed}>{t.settings.changed}</span>}
    </>
  );
  return (
    <Card
      title={title}
      actions={
        changed && (
          <Button small kind="quiet" onPress={reset}>
            {t.settings.setBack}
          </Button>
        )
      }
    >
      <div className={styles.fields}>
        <p className={styles.help}>{t.settings.effects[section]}</p>
        <div className={styles.grid}>
          {fields.map((field) => (
            <FieldRow
              key={field.id}
              field={field}
              project={project}
              text={edits[field.id] ?? textAt(settings, field.id)}
              error={wrong[field.id]}
              onChange={(text) => onChange({ [field.id]: text })}
            />
          ))}
        </div>
      </div>
    </Card>
  );
}

type RowProps = {
  field: Field & { id: FieldId };
  project: string;
  text: string;
  error: string | undefined;
  onChange: (text: string) => void;
};

function FieldRow({ field, project, text, error, onChange }: RowProps) {
  const t = useT();
  const { id, kind } = field;
  const offers = useOffers(field.offers, project);
  const label = t.settings.fields[id];
  const tall = TALL.includes(kind);
  const wide = (children: ReactNode) => <div className={WIDE.includes(kind) ? styles.wide : ""}>{children}</div>;
  if (kind === "check")
    return wide(<Check label={label} checked={text === "true"} onChange={(checked) => onChange(String(checked))} />);
  if (kind === "choice")
    return wide(
      <Choice
        label={label}
        value={text}
        onChange={onChange}
        options={(field.options ?? []).map((value) => ({ value, label: value || t.settings.asImage }))}
      />,
    );
  const help = [(t.settings.help as Record<string, string>)[id], empty(field, text, t.settings.empty)];
  return wide(
    <TextField
      label={label}
      value={text}
      onChange={onChange}
      help={help.filter(Boolean).join(" ")}
      error={error}
      mono={tall && kind !== "lines"}
      offers={offers}
      maxLength={LONGEST}
      {...(tall ? { lines: Math.min(MOST_LINES, Math.max(2, text.split("\n").length)) } : {})}
    />,
  );
}

/** What the field is when it is empty, where that is another value than it has. */
function empty({ reset }: Field, text: string, words: (value: string) => string): string {
  return (typeof reset === "number" || typeof reset === "string") && text !== String(reset) ? words(String(reset)) : "";
}
