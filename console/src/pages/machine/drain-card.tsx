/** A machine's drain: what is still there and why, and what it cost callers. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { drainQuery, type MachineDetail } from "@/api/machines";
import { useT } from "@/i18n";
import { Ago } from "@/ui/ago";
import { Card, ProblemCard } from "@/ui/card";
import { Fact, Facts, Quiet, Stack } from "@/ui/layout";
import { Table } from "@/ui/table";

const READ_AGAIN_MS = 3_000;

export function DrainCard({ machine }: { machine: MachineDetail }) {
  const t = useT();
  const { data: drain, error } = useQuery({
    ...drainQuery(machine.id),
    enabled: machine.draining || Boolean(machine.cordon),
    refetchInterval: machine.draining ? READ_AGAIN_MS : false,
  });
  if (error) return <ProblemCard error={error} />;
  if (!drain || (!machine.draining && !machine.cordon)) return null;
  const { receipt } = drain;
  return (
    <Card title={t.machines.drains[drain.status]}>
      <Stack>
        <Quiet>
          {drain.started_by}, <Ago at={drain.started_at} />
          {drain.message && `: ${drain.message}`}
        </Quiet>
        {drain.reason && <p title={drain.reason.code}>{drain.reason.text}</p>}
        <Facts>
          <Fact name={t.services.replicas}>{receipt.replicas}</Fact>
          <Fact name={t.machines.leaving}>{receipt.draining}</Fact>
          <Fact name={t.machines.finished}>{receipt.finished ?? 0}</Fact>
          <Fact name={t.machines.cut}>{(receipt.cut ?? 0) + (receipt.failed ?? 0)}</Fact>
        </Facts>
        {drain.services.length > 0 && (
          <Table
            label={t.machines.still}
            rows={drain.services}
            rowKey={(one) => one.service_id ?? one.name}
            columns={[
              {
                id: "name",
                title: t.machines.still,
                cell: (one) => (
                  <Link to="/services/$service" params={{ service: one.name.split("/").at(-1) ?? one.name }}>
                    {one.name}
                  </Link>
                ),
              },
              { id: "replicas", title: t.services.replicas, kind: "number", cell: (one) => one.replicas },
              {
                id: "why",
                title: t.common.why,
                kind: "wrap",
                cell: (one) => <span title={one.reason.code}>{one.reason.text}</span>,
              },
            ]}
          />
        )}
      </Stack>
    </Card>
  );
}
