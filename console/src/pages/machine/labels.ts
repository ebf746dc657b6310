/** Labels of a machine as text, one `name=value` a line, and what a changed text changes. */

type Labels = Record<string, string>;

export function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
}

/** Return labels to set, and null for those to take away; null if nothing changed. */
export function labelChange(before: Labels, text: string): Record<string, string | null> | null {
  const after = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [name = "", ...rest] = line.split("=");
    if (name.trim()) after.set(name.trim(), rest.join("=").trim());
  }
  const change: Record<string, string | null> = {};
  for (const name of Object.keys(before)) if (!after.has(name)) change[name] = null;
  for (const [name, value] of after) if (before[name] !== value) change[name] = value;
  return Object.keys(change).length > 0 ? change : null;
}
