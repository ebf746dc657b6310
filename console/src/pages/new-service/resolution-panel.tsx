/** What a new service comes to: problems, effective values with where each is from, quota. */

import { useQuery } from "@tanstack/react-query";
import { type NewService, type Resolution, resolutionQuery } from "@/api/resolutions";
import { useT } from "@/i18n";
import { slot } from "@/i18n/format";
import { useSettled } from "@/lib/settled";
import { Problems } from "@/resolution/problems";
import { Quota } from "@/resolution/quota";
import { Card, ProblemCard, Skeleton } from "@/ui/card";
import { Table } from "@/ui/table";
import styles from "./new-service-page.module.css";

const ASK_AFTER_MS = 300;

export function ResolutionPanel({ request }: { request: NewService }) {
  const t = useT();
  const asked = useSettled(request, ASK_AFTER_MS);
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
      <Problems problems={data.problems} />
      {data.effective && <Values resolution={data} />}
      <Quota resolution={data} />
    </>
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
