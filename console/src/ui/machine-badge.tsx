/** State of a machine: lost, draining, takes nothing new, or in use. */

import type { Machine } from "@/api/machines";
import { useT } from "@/i18n";
import { Badge } from "@/ui/status";

export function MachineBadge({ machine }: { machine: Pick<Machine, "status" | "draining" | "cordon"> }) {
  const t = useT();
  if (machine.status === "lost") return <Badge look="unhealthy">{t.machines.states.lost}</Badge>;
  const state = machine.draining ? "draining" : machine.cordon ? "cordoned" : "alive";
  return <Badge look={state === "alive" ? "healthy" : "degraded"}>{t.machines.states[state]}</Badge>;
}
