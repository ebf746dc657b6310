/** What differs between two states of a thing, field by field. */

export type ChangedField = { field: string; before: string | null; after: string | null };

type State = Record<string, unknown> | null | undefined;

/** Return the fields that differ, nested ones by their path (`spec.slots.cpu`); null where a side has none. */
export function changedFields(before: State, after: State): ChangedField[] {
  const [old, now] = [flat(before ?? {}), flat(after ?? {})];
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((field) => old.get(field) !== now.get(field))
    .map((field) => ({ field, before: old.get(field) ?? null, after: now.get(field) ?? null }));
}

function flat(state: Record<string, unknown>, prefix = "", found = new Map<string, string>()): Map<string, string> {
  for (const [name, value] of Object.entries(state)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0)
      flat(value as Record<string, unknown>, `${prefix}${name}.`, found);
    else found.set(prefix + name, typeof value === "string" ? value : JSON.stringify(value));
  }
  return found;
}
