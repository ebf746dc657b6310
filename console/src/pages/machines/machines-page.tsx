/** Machines of the fleet: status, group, what is used of what there is. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { type Machine, machinesQuery } from "@/api/machines";
import { Page } from "@/app/shell";
import { type Messages, useT } from "@/i18n";
import { slot } from "@/i18n/format";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Copyable } from "@/ui/copy";
import { Badge } from "@/ui/status";
import { type Column, Table } from "@/ui/table";

export function MachinesPage() {
  const t = useT();
  const found = useInfiniteQuery(machinesQuery);
  const machines = found.data?.pages.flatMap((page) => page.items);
  return (
    <Page>
      <h1>{t.machines.title}</h1>
      {found.error && <ProblemCard error={found.error} onRetry={() => void found.refetch()} />}
      <Card flush>
        {!machines ? (
          !found.error && <Skeleton lines={6} />
        ) : machines.length === 0 ? (
          <Empty title={t.machines.empty} action={<Copyable text="headrace join-token create" />}>
            {t.machines.emptyHelp}
          </Empty>
        ) : (
          <Table label={t.machines.title} columns={columnsOf(t)} rows={machines} rowKey={(machine) => machine.id} />
        )}
        {found.hasNextPage && (
          <div style={{ padding: 12 }}>
            <Button onPress={() => void found.fetchNextPage()}>{t.common.more}</Button>
          </div>
        )}
      </Card>
    </Page>
  );
}

function columnsOf(t: Messages): readonly Column<Machine>[] {
  return [
    { id: "name", title: t.machines.name, cell: (machine) => <strong>{machine.id}</strong> },
    {
      id: "status",
      title: t.machines.status,
      cell: (machine) => (
        <Badge
          look={
            machine.status === "alive" ? (machine.cordon || machine.draining ? "degraded" : "healthy") : "unhealthy"
          }
        >
          {t.machines.states[machine.draining ? "draining" : machine.cordon ? "cordoned" : machine.status]}
        </Badge>
      ),
    },
    { id: "group", title: t.machines.group, cell: (machine) => machine.resource_group },
    { id: "used", title: t.machines.used, kind: "wrap", cell: used },
    { id: "runtime", title: t.machines.runtime, cell: (machine) => machine.runtime },
    { id: "heard", title: t.machines.heard, kind: "number", cell: (machine) => <Ago at={machine.last_seen_at} /> },
  ];
}

function used(machine: Machine): string {
  return Object.entries(machine.slots)
    .map(([name, whole]) => `${slot(name, machine.allocated[name] ?? "0")} / ${slot(name, whole)} ${name}`)
    .join(", ");
}
