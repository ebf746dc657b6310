/** Logs of a service's replicas. */

export const logsUrl = (
  service: string,
  options: { replica?: string | undefined; since?: string | undefined; follow?: boolean; tail?: number },
) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options))
    if (value !== undefined && value !== false) query.set(name, String(value));
  return `/v1/services/${encodeURIComponent(service)}/logs?${query}`;
};
