/** What a request needs of the project's quota, by slot. */

import type { Resolution } from "@/api/resolutions";
import { useT } from "@/i18n";
import { slot } from "@/i18n/format";
import { Card } from "@/ui/card";
import { Table } from "@/ui/table";

export function Quota({ resolution }: { resolution: Resolution }) {
  const t = useT();
  if (resolution.quota.length === 0) return null;
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
