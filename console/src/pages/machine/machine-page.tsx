/** A machine: what it has, what runs there and why, what drains, and what is to be done with it. */

import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type MachineDetail, machineQuery } from "@/api/machines";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { disk } from "@/i18n/format";
import { DrainCard } from "@/pages/machine/drain-card";
import { Gpus } from "@/pages/machine/gpus";
import { Kernels } from "@/pages/machine/kernels";
import { MachineActions } from "@/pages/machine/machine-actions";
import { Ago } from "@/ui/ago";
import { Card, ProblemCard, Skeleton } from "@/ui/card";
import { Fact, Facts, Note, Quiet } from "@/ui/layout";
import { MachineBadge } from "@/ui/machine-badge";
import { PageHead } from "@/ui/page-head";

const READ_AGAIN_MS = 5_000;

export function MachinePage() {
  const { machine: name } = useParams({ from: "/machines/$machine" });
  const { data, error, refetch } = useQuery({ ...machineQuery(name), refetchInterval: READ_AGAIN_MS });
  return (
    <Page>
      <PageHead title={name}>
        {data && <MachineBadge machine={data} />}
        {data && <MachineActions machine={data} />}
      </PageHead>
      {error && <ProblemCard error={error} onRetry={() => void refetch()} />}
      {!data && !error && (
        <Card>
          <Skeleton lines={6} />
        </Card>
      )}
      {data && (
        <>
          <Problems machine={data} />
          <DrainCard machine={data} />
          <About machine={data} />
          <Gpus machine={data} />
          <Kernels machine={data} />
        </>
      )}
    </Page>
  );
}

/** Everything that keeps the machine from its work, in the API's words. */
function Problems({ machine }: { machine: MachineDetail }) {
  const t = useT();
  const problems = [
    machine.cordon && t.machines.cordonedBy(machine.cordon.by, machine.cordon.reason),
    machine.address_problem,
    machine.plan_problem,
    ...Object.entries(machine.checks ?? {}).map(([check, why]) => `${check}: ${why}`),
  ].filter(Boolean);
  return problems.map((problem) => <Note key={problem}>{problem}</Note>);
}

function About({ machine }: { machine: MachineDetail }) {
  const t = useT();
  const labels = Object.entries(machine.labels ?? {}).map(([name, value]) => `${name}=${value}`);
  const behind = machine.plan_generation - machine.applied_generation;
  return (
    <Card>
      <Facts>
        <Fact name={t.machines.group}>{machine.resource_group}</Fact>
        <Fact name={t.machines.labels}>{labels.join(", ") || t.common.none}</Fact>
        <Fact name={t.machines.address}>{machine.address}</Fact>
        <Fact name={t.machines.runtime}>
          {machine.runtime} · {machine.architecture}
        </Fact>
        <Fact name={t.machines.version}>{machine.version}</Fact>
        <Fact name={t.machines.plan}>{behind > 0 ? t.machines.behind(behind) : t.machines.applied}</Fact>
        <Fact name={t.machines.heard}>
          <Ago at={machine.last_seen_at} />
        </Fact>
        {machine.disk && (
          <Fact name={t.machines.disk}>
            {t.machines.free(disk(machine.disk.free_bytes), disk(machine.disk.total_bytes))}
          </Fact>
        )}
      </Facts>
      {machine.isolation && (
        <Quiet>
          {t.machines.isolation}: {machine.isolation.text}
        </Quiet>
      )}
    </Card>
  );
}
