/** Quota of a project beside what is used of it. */

import type { Project, ProjectUsage } from "@/api/projects";
import { disk, slot } from "@/i18n/format";

type QuotaRow = { slot: string; used: string; limit: string | null };

const FIRST = ["services", "cpu", "mem", "cuda.device", "cuda.shares"];
const COUNT = new Intl.NumberFormat("en");
const LAST = ["storage", "files"];

/** Rows by slot: services and the usual slots first, folders last; limits of what nobody uses, too. */
export function quotaRows({ used, limits = {} }: Pick<ProjectUsage, "used" | "limits">): QuotaRow[] {
  const names = [...new Set([...Object.keys(used), ...Object.keys(limits)])].sort((a, b) => place(a) - place(b));
  return names.map((name) => ({ slot: name, used: used[name] ?? "0", limit: limits[name] ?? null }));
}

function place(name: string): number {
  const first = FIRST.indexOf(name);
  if (first >= 0) return first;
  return LAST.includes(name) ? 100 + LAST.indexOf(name) : 50;
}

/** An amount as it is read: memory in GiB, storage in GB. */
export function amount(name: string, value: string): string {
  if (name === "storage") return disk(Number(value));
  return name === "files" ? COUNT.format(Number(value)) : slot(name, value);
}

/** Whether the quota lets no service run. */
export function servicesOff({ quota }: Pick<Project, "quota">): boolean {
  return quota?.services !== undefined && Number(quota.services) === 0;
}

/** Return what is to be changed of a quota: a limit that was emptied goes; null if nothing changed. */
export function quotaChange(
  before: Record<string, string>,
  after: Record<string, string>,
): Record<string, string | null> | null {
  const changes: Record<string, string | null> = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const now = after[name]?.trim() ?? "";
    if (now !== (before[name] ?? "")) changes[name] = now || null;
  }
  return Object.keys(changes).length > 0 ? changes : null;
}
