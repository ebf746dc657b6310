/** What is wrong with fields of the form, by field: from a refusal, or from what a change would be refused for. */

import { ApiProblem } from "@/api/client";
import type { Resolution } from "@/api/resolutions";
import { FIELDS, type FieldId } from "@/pages/service/settings/fields";

export type WrongFields = Partial<Record<FieldId, string>>;

export function wrongFields(error: Error | null, problems: Resolution["problems"]): WrongFields {
  const found: WrongFields = {};
  const rows = error instanceof ApiProblem ? error.errors : problems;
  for (const { field = "", allowed } of rows) {
    const id = idOf(field.replace(/^update\./, ""));
    if (id && allowed) found[id] ??= allowed;
  }
  return found;
}

/** Fields of the spec are named with and without `spec`, their items behind a point or in brackets. */
function idOf(path: string): FieldId | undefined {
  const within = (id: string) => path === id || path.startsWith(`${id}.`) || path.startsWith(`${id}[`);
  return FIELDS.find(({ id }) => within(id) || (id.startsWith("spec.") && within(id.slice(5))))?.id;
}
