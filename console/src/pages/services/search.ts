/** Filters of the services' page, as they are in its address. */

import type { ServiceFilter } from "@/api/services";

const ALLOWED = {
  status: ["healthy", "degraded", "unhealthy"],
  phase: ["deploying", "deployed", "stopping", "stopped", "failed"],
  sort: ["created", "name", "updated", "replicas"],
  order: ["asc", "desc"],
} as const;
const TEXTS = ["project", "q", "tag", "folder", "owner", "agent", "runtime"] as const;
const MOST = 200;

/** Return the filters of an address; what is not one is left out. */
export function parseServiceSearch(search: Record<string, unknown>): ServiceFilter {
  const found: Record<string, unknown> = {};
  for (const name of TEXTS) {
    const value = typeof search[name] === "number" ? String(search[name]) : search[name];
    if (typeof value === "string" && value !== "" && value.length <= MOST) found[name] = value;
  }
  for (const [name, allowed] of Object.entries(ALLOWED))
    if ((allowed as readonly unknown[]).includes(search[name])) found[name] = search[name];
  if (search.mine === true) found.mine = true;
  return found as ServiceFilter;
}

/** Return whether anything but the order was chosen. */
export function isFiltered({ sort: _sort, order: _order, project: _project, ...rest }: ServiceFilter): boolean {
  return Object.values(rest).some((value) => value !== undefined && value !== false);
}
