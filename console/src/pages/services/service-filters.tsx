/** Filters of the list of services: search, chips with counts, order. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type ServiceFilter, type ServicePhase, type ServiceStatus, serviceCountsQuery } from "@/api/services";
import { useT } from "@/i18n";
import { Choice } from "@/ui/choice";
import { Check, SearchField } from "@/ui/field";
import { Badge } from "@/ui/status";
import styles from "./services-page.module.css";

const STATUSES: readonly ServiceStatus[] = ["healthy", "degraded", "unhealthy"];
const PHASES: readonly ServicePhase[] = ["deploying", "stopped", "failed"];
const SORTS = ["created", "-created", "name", "-updated", "-replicas"] as const;
const SEARCH_AFTER_MS = 250;

type Props = { filter: ServiceFilter; onChange: (changed: Partial<ServiceFilter>) => void };

export function ServiceFilters({ filter, onChange }: Props) {
  const t = useT();
  const sort = `${filter.order === "desc" ? "-" : ""}${filter.sort ?? "created"}`;
  const chooseSort = (value: string) =>
    onChange({
      sort: value.replace("-", "") as NonNullable<ServiceFilter["sort"]>,
      order: value.startsWith("-") ? "desc" : "asc",
    });
  return (
    <>
      <div className={styles.bar}>
        <Search filter={filter} onChange={onChange} />
        <Choice
          label={t.services.sort}
          hideLabel
          value={sort}
          onChange={chooseSort}
          options={SORTS.map((value) => ({ value: value as string, label: t.services.sorts[value] }))}
        />
        <Check
          label={t.services.mine}
          checked={filter.mine ?? false}
          onChange={(mine) => onChange({ mine: mine || undefined })}
        />
      </div>
      <Chips filter={filter} onChange={onChange} />
    </>
  );
}

/** The text is in the address a moment after the last letter. */
function Search({ filter, onChange }: Props) {
  const t = useT();
  const [text, setText] = useState(filter.q ?? "");
  useEffect(() => setText(filter.q ?? ""), [filter.q]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: by what was typed only
  useEffect(() => {
    if (text === (filter.q ?? "")) return;
    const timer = setTimeout(() => onChange({ q: text || undefined }), SEARCH_AFTER_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return <SearchField label={t.common.search} placeholder={t.services.searchHelp} value={text} onChange={setText} />;
}

function Chips({ filter, onChange }: Props) {
  const t = useT();
  const { status: _status, phase: _phase, sort: _sort, order: _order, ...others } = filter;
  const { data } = useQuery(serviceCountsQuery(others));
  const count = (found: Record<string, number> | undefined, name: string) =>
    data && `${data.complete ? "" : "≥ "}${found?.[name] ?? 0}`;
  return (
    <fieldset className={styles.chips} style={{ border: 0, padding: 0, margin: 0 }} aria-label={t.services.status}>
      {STATUSES.map((status) => (
        <button
          key={status}
          type="button"
          className={styles.chip}
          aria-pressed={filter.status === status}
          onClick={() => onChange({ status: filter.status === status ? undefined : status })}
        >
          <Badge look={status}>{t.status[status]}</Badge>
          {count(data?.by_status, status)}
        </button>
      ))}
      {PHASES.map((phase) => (
        <button
          key={phase}
          type="button"
          className={styles.chip}
          aria-pressed={filter.phase === phase}
          onClick={() => onChange({ phase: filter.phase === phase ? undefined : phase })}
        >
          <Badge look={phase === "deployed" ? "healthy" : phase}>{t.phase[phase]}</Badge>
          {count(data?.by_phase, phase)}
        </button>
      ))}
    </fieldset>
  );
}
