/** Names under which a service's model is asked: what the running revision calls it, and its names in the fleet. */

import { useQuery } from "@tanstack/react-query";
import { revisionQuery } from "@/api/history";
import type { ServiceDetail } from "@/api/services";

/** Returns null until they are known. */
export function useModelNames(service: ServiceDetail | undefined): string[] | null {
  const revision = service?.served_revision ?? service?.revision ?? 0;
  const { data, isPending } = useQuery({
    ...revisionQuery(service?.name ?? "", revision),
    enabled: service !== undefined,
  });
  if (isPending) return null;
  return [...new Set([data?.effective.model_name ?? "", ...(service?.models ?? [])])].filter(Boolean);
}
