/** Audit log: who changed what, when, from where and why. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";
import { paged } from "@/api/paged";

export type AuditEntry = Schemas["AuditEntry"];
export type AuditFilter = {
  project?: string | undefined;
  actor?: string | undefined;
  action?: string | undefined;
  service?: string | undefined;
  agent?: string | undefined;
  since?: string | undefined;
  until?: string | undefined;
};

export const auditQuery = (filter: AuditFilter) =>
  paged(
    ["audit", "list", filter],
    (cursor, signal) =>
      answered(
        api.GET("/v1/audit", { signal, params: { query: { ...filter, limit: 100, cursor } as never } }),
      ) as Promise<Schemas["Page_AuditEntry_"]>, // the other form is CSV
  );

/** One change, with the states before and after it. */
export const auditEntryQuery = (audit_entry: string) =>
  queryOptions({
    queryKey: ["audit", "one", audit_entry],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/audit/{audit_entry}", { signal, params: { path: { audit_entry } } })),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** Address from which a browser downloads all that match as CSV. */
export const auditCsvUrl = (filter: AuditFilter) => {
  const query = new URLSearchParams({ format: "csv" });
  for (const [name, value] of Object.entries(filter)) if (value) query.set(name, value);
  return `/v1/audit?${query}`;
};
