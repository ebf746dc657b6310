/** Fields in which two documents differ, named as the API names them: `environ.A`, `health_check.path`. */

export type Difference = { field: string; before: unknown; after: unknown };

/** Objects are compared by their keys, lists as a whole. */
export function differences(before: object, after: object): Difference[] {
  const a = flat(before);
  const b = flat(after);
  return [...new Set([...a.keys(), ...b.keys()])]
    .sort()
    .map((field) => ({ field, before: a.get(field) ?? null, after: b.get(field) ?? null }))
    .filter((one) => JSON.stringify(one.before) !== JSON.stringify(one.after));
}

function flat(document: object, prefix = ""): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [name, value] of Object.entries(document)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      for (const [field, inner] of flat(value, `${prefix}${name}.`)) found.set(field, inner);
    else found.set(prefix + name, value);
  }
  return found;
}
