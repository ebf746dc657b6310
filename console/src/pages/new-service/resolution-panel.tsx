/** What a new service comes to: problems, effective values with where each is from, quota. */

import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { type NewService, type Resolution, resolutionQuery } from "@/api/resolutions";
import { useT } from "@/i18n";
import { slot } from "@/i18n/format";
import { Card, ProblemCard, Skeleton } from "@/ui/card";
import { Table } from "@/ui/table";
import styles from "./new-service-page.module.css";

const ASK_AFTER_MS = 300;

export function ResolutionPanel({ request }: { request: NewService }) {
  const t = useT();
  const asked = useSettled(request);
  const { data, error, isPending } = useQuery({ ...resolutionQuery(asked), enabled: asked.name !== "" });
  if (asked.name === "")
    return (
      <Card title={t.newService.effect}>
        <p className={styles.quiet}>{t.newService.effectHelp}</p>
      </Card>
    );
  if (!data)
    return (
      <Card title={t.newService.effect}>
        {error ? <ProblemCard error={error} /> : isPending && <Skeleton lines={6} />}
      </Card>
    );
  return (
    <>
      {data.problems.length > 0 && (
        <Card title={t.newService.problems(data.problems.length)}>
          {data.problems.map((problem) => (
            <Problem key={`${problem.field} ${problem.detail}`} problem={problem} />
          ))}
        </Card>
      )}
      {data.effective && <Values resolution={data} />}
      {data.quota.length > 0 && <QuotaCard resolution={data} />}
    </>
  );
}

function Problem({ problem }: { problem: Resolution["problems"][number] }) {
  const t = useT();
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== null).join(":");
  return (
    <p className={styles.problem}>
      <code>{place || problem.field}</code> {problem.detail}
      {problem.found !== null && `; ${t.error.found} ${problem.found}`}
      {problem.allowed !== null && `; ${t.error.allowed}: ${problem.allowed}`}
    </p>
  );
}

function Values({ resolution: { effective, origins } }: { resolution: Resolution }) {
  const t = useT();
  if (!effective) return null;
  const rows: [string, string][] = [
    ["runtime", effective.runtime],
    ["model_name", effective.model_name],
    ["command", effective.command.join(" ")],
    ["image", effective.image ?? ""],
    ["port", String(effective.port)],
    ...Object.entries(effective.slots).map(([name, amount]): [string, string] => [`slots.${name}`, slot(name, amount)]),
    ["health_check.path", effective.health_check?.path ?? ""],
    ...Object.entries(effective.environ).map(([name, value]): [string, string] => [`environ.${name}`, value]),
  ];
  return (
    <Card title={t.newService.effective} flush>
      <Table
        label={t.newService.effective}
        rows={rows.filter(([, value]) => value !== "")}
        rowKey={([name]) => name}
        columns={[
          {
            id: "name",
            title: t.newService.value,
            cell: ([name]) => (
              <span className={styles.name}>
                <code>{name}</code>
                <Origin origin={origins[name]} />
              </span>
            ),
          },
          { id: "value", title: "", kind: "wrap", cell: ([, value]) => value },
        ]}
      />
    </Card>
  );
}

function Origin({ origin }: { origin: Resolution["origins"][string] | undefined }) {
  const t = useT();
  return <span className={styles.quiet}>{origin ? (origin.file ?? t.newService.origins[origin.source]) : ""}</span>;
}

function QuotaCard({ resolution }: { resolution: Resolution }) {
  const t = useT();
  return (
    <Card title={t.newService.quota(resolution.project)} flush>
      <Table
        label={t.newService.quota(resolution.project)}
        rows={resolution.quota}
        rowKey={(need) => need.slot}
        columns={[
          { id: "slot", title: t.services.slots, cell: (need) => need.slot },
          { id: "needed", title: t.newService.needed, kind: "number", cell: (need) => slot(need.slot, need.needed) },
          { id: "used", title: t.machines.used, kind: "number", cell: (need) => slot(need.slot, need.used) },
          {
            id: "limit",
            title: t.newService.limit,
            kind: "number",
            cell: (need) => (need.limit === null ? t.common.none : slot(need.slot, need.limit)),
          },
        ]}
      />
    </Card>
  );
}

/** The request, a moment after its last change. */
function useSettled(request: NewService): NewService {
  const [settled, setSettled] = useState(request);
  const text = JSON.stringify(request);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(JSON.parse(text) as NewService), ASK_AFTER_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}
