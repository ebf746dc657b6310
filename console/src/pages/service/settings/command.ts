/** A change as a command for a shell. Values of variables are left out. */

import type { ServiceChange } from "@/api/resolutions";
import { quoted } from "@/pages/service/settings/values";

export function commandOf(service: string, change: ServiceChange): string {
  const { spec, message, ...rest } = change;
  const environ = Object.fromEntries(Object.keys(spec?.environ ?? {}).map((name) => [name, "…"]));
  const body = { ...rest, ...(spec ? { spec: { ...spec, environ } } : {}), ...(message ? { message } : {}) };
  const url = `${globalThis.location?.origin ?? ""}/v1/services/${encodeURIComponent(service)}`;
  return [
    `curl -X PATCH ${quoted(url)}`,
    '-H "Authorization: Bearer $HEADRACE_API_KEY" -H "Content-Type: application/json"',
    `-d ${quoted(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}
