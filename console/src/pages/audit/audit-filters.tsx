/** Filters of the audit log; each is in the address. */

import { useEffect, useState } from "react";
import { useT } from "@/i18n";
import { type AuditSearch, RANGES } from "@/pages/audit/search";
import { Choice } from "@/ui/choice";
import { SearchField } from "@/ui/field";
import { Line } from "@/ui/layout";

const FIELDS = ["actor", "action", "service", "agent"] as const;
const AFTER_MS = 400;

type Props = { search: AuditSearch; onChange: (changed: Partial<AuditSearch>) => void };

export function AuditFilters({ search, onChange }: Props) {
  const t = useT();
  return (
    <Line>
      {FIELDS.map((name) => (
        <Typed
          key={name}
          label={t.audit.filters[name]}
          value={search[name] ?? ""}
          onChange={(value) => onChange({ [name]: value || undefined })}
        />
      ))}
      <Choice
        label={t.audit.range}
        hideLabel
        value={search.since ? "all" : (search.range ?? "7d")}
        onChange={(range) => onChange({ range, since: undefined, until: undefined })}
        options={RANGES.map((value) => ({ value, label: t.audit.ranges[value] }))}
      />
    </Line>
  );
}

/** The text is in the address a moment after the last letter. */
function Typed({ label, value, onChange }: { label: string; value: string; onChange: (value: string) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: by what was typed only
  useEffect(() => {
    if (text.trim() === value) return;
    const timer = setTimeout(() => onChange(text.trim()), AFTER_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return <SearchField label={label} value={text} onChange={setText} />;
}
