/** Filters of the audit page, as they are in its address. */

import type { AuditFilter } from "@/api/audit";

export const RANGES = ["1h", "24h", "7d", "30d", "all"] as const;
export type Range = (typeof RANGES)[number];
export type AuditSearch = {
  actor?: string | undefined;
  action?: string | undefined;
  service?: string | undefined;
  agent?: string | undefined;
  range?: Range | undefined;
  since?: string | undefined;
  until?: string | undefined;
  entry?: string | undefined;
};

const TEXTS = ["actor", "action", "service", "agent", "entry"] as const;
const SECONDS: Record<Exclude<Range, "all">, number> = { "1h": 3600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };
const MOST = 128;
const MINUTE_MS = 60_000;

/** Return the filters of an address; what is not one is left out. */
export function parseAuditSearch(search: Record<string, unknown>): AuditSearch {
  const found: Record<string, unknown> = {};
  for (const name of TEXTS) {
    const value = search[name];
    if (typeof value === "string" && value !== "" && value.length <= MOST) found[name] = value;
  }
  for (const name of ["since", "until"] as const) {
    const value = search[name];
    if (typeof value === "string" && !Number.isNaN(Date.parse(value))) found[name] = value;
  }
  if ((RANGES as readonly unknown[]).includes(search.range)) found.range = search.range;
  return found as AuditSearch;
}

/** Return what the API is asked: a range ends now, and begins at a whole minute so that the same is asked again. */
export function filterOf(search: AuditSearch, project: string | undefined, now: number): AuditFilter {
  const { range = "7d", actor, action, service, agent, until } = search;
  const begin =
    range === "all"
      ? undefined
      : new Date(Math.floor(now / MINUTE_MS) * MINUTE_MS - SECONDS[range] * 1000).toISOString();
  return { project, actor, action, service, agent, since: search.since ?? begin, until };
}
