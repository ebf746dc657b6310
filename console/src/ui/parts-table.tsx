/** Parts of the installation: managers, app-proxies, autoscalers, stores. */

import type { Part } from "@/api/machines";
import { useT } from "@/i18n";
import { Ago } from "@/ui/ago";
import { Twofold } from "@/ui/layout";
import { Badge } from "@/ui/status";
import { Table } from "@/ui/table";

const LOOKS = {
  up: "healthy",
  starting: "deploying",
  degraded: "degraded",
  away: "unhealthy",
  stopped: "stopped",
  unknown: "quiet",
} as const;

export function PartsTable({ label, parts }: { label: string; parts: readonly Part[] }) {
  const t = useT();
  return (
    <Table
      label={label}
      rows={parts}
      rowKey={(part) => `${part.kind} ${part.name}`}
      columns={[
        { id: "name", title: t.machines.name, cell: (part) => <Twofold first={part.name} second={part.kind} /> },
        {
          id: "status",
          title: t.machines.status,
          kind: "wrap",
          cell: (part) => (
            <>
              <Badge look={LOOKS[part.status]}>{t.machines.parts[part.status]}</Badge>
              {part.reasons?.map((reason) => (
                <p key={reason.code} title={reason.code}>
                  {reason.text}
                </p>
              ))}
            </>
          ),
        },
        { id: "version", title: t.machines.version, cell: (part) => part.version ?? t.common.none },
        { id: "address", title: t.machines.address, cell: (part) => part.address || t.common.none },
        {
          id: "since",
          title: t.machines.since,
          kind: "number",
          cell: (part) => (part.since ? <Ago at={part.since} /> : t.common.none),
        },
      ]}
    />
  );
}
