/** What runs on a machine: each kernel with its service, its state and why. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { MachineDetail } from "@/api/machines";
import { servicesQuery } from "@/api/services";
import { useT } from "@/i18n";
import { Card, Empty } from "@/ui/card";
import { HealthBadge } from "@/ui/status";
import { Table } from "@/ui/table";

export function Kernels({ machine }: { machine: MachineDetail }) {
  const t = useT();
  const names = useServicesOn(machine.id);
  return (
    <Card title={t.machines.kernels} flush>
      {machine.kernels.length === 0 ? (
        <Empty title={t.machines.noKernels} />
      ) : (
        <Table
          label={t.machines.kernels}
          rows={machine.kernels}
          rowKey={(kernel) => kernel.kernel_id}
          columns={[
            {
              id: "service",
              title: t.machines.service,
              cell: (kernel) => {
                const name = names.get(kernel.service_id ?? "");
                if (!name) return kernel.service_id ?? t.projects.kinds["trial-run"];
                return (
                  <Link to="/services/$service" params={{ service: name }}>
                    <strong>{name}</strong>
                  </Link>
                );
              },
            },
            { id: "state", title: t.machines.status, cell: (kernel) => t.machines.kernelStates[kernel.state] },
            { id: "health", title: t.machines.health, cell: (kernel) => <HealthBadge health={kernel.health} /> },
            {
              id: "why",
              title: t.common.why,
              kind: "wrap",
              cell: (kernel) => <span title={kernel.reason.code}>{kernel.reason.text}</span>,
            },
            { id: "session", title: t.machines.replica, cell: (kernel) => <code>{kernel.session_id.slice(-12)}</code> },
          ]}
        />
      )}
    </Card>
  );
}

/** Names of the services that have replicas on a machine, by id. */
export function useServicesOn(agent: string): ReadonlyMap<string, string> {
  const found = useInfiniteQuery(servicesQuery({ agent }));
  return new Map(found.data?.pages.flatMap((page) => page.items.map((service) => [service.id, service.name])));
}
