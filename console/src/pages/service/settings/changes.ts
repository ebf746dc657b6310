/** What a form changes of a service: the request, the dirty sections, and what somebody else changed meanwhile. */

import type { ServiceChange } from "@/api/resolutions";
import { type Edits, FIELDS, type FieldId, fieldOf, type Section } from "@/pages/service/settings/fields";
import { parsed, textOf } from "@/pages/service/settings/values";

/** A service's settings by group: its own by their names, those of the current revision below `spec`. */
export type Settings = Record<string, unknown> & { spec: Record<string, unknown> };

export type Conflict = { id: FieldId; before: string; theirs: string; yours: string | null };

/** Return the text of a field as the service has it. */
export function textAt(settings: Settings, id: FieldId): string {
  const [group, name] = parts(id);
  const found = name === undefined ? settings[group] : (settings[group] as Record<string, unknown> | undefined)?.[name];
  return textOf(fieldOf(id).kind, found);
}

/** Return the edits without those that change nothing. */
export function changesOf(settings: Settings, edits: Edits): Edits {
  return Object.fromEntries(Object.entries(edits).filter(([id, text]) => text !== textAt(settings, id as FieldId)));
}

export function sectionsOf(edits: Edits): ReadonlySet<Section> {
  return new Set(FIELDS.filter(({ id }) => edits[id] !== undefined).map(({ section }) => section));
}

/** Return the request. Of groups it has the fields that change, of the spec all. */
export function requestOf(settings: Settings, edits: Edits): ServiceChange {
  const request: Record<string, unknown> = {};
  for (const [id, text] of Object.entries(edits) as [FieldId, string][]) {
    const [group, name] = parts(id);
    const value = parsed(fieldOf(id), text);
    if (name === undefined) request[group] = value ?? null;
    else request[group] = { ...((request[group] ?? (group === "spec" ? settings.spec : {})) as object), [name]: value };
  }
  return request as ServiceChange;
}

/** Return what somebody else changed since `before`, with what was typed into the same fields. */
export function conflictsOf(before: Settings, theirs: Settings, edits: Edits): Conflict[] {
  return FIELDS.map(({ id }) => ({
    id,
    before: textAt(before, id),
    theirs: textAt(theirs, id),
    yours: edits[id] ?? null,
  })).filter((field) => field.before !== field.theirs);
}

function parts(id: FieldId): [string, string | undefined] {
  const [group = "", name] = id.split(".");
  return [group, name];
}
