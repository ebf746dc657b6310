/** What is read again when a thing of a kind changes: the first parts of the query keys in api/. */

const KEYS: Record<string, readonly (readonly string[])[]> = {
  service: [["services"], ["project-usage"]],
  folder: [["folders"], ["models"], ["resolution"], ["project-usage"]],
  agent: [["machines"]],
  project: [["projects"], ["project-usage"], ["login"]],
  user: [["users"], ["projects", "members"], ["login"]],
  token: [["access"]],
  client: [["access"]],
  rule: [["scaling"]],
  secret: [["secrets"], ["resolution"]],
  "resource-group": [["machines"], ["resource-groups"]],
  webhook: [["webhooks"]],
};

/** Return the query keys that a change concerns; of a kind that this page does not know, none. */
export function keysOf(change: { kind: string }): readonly (readonly string[])[] {
  return KEYS[change.kind] ?? [];
}
