/** A value of a service in words: memory in GiB, lists and objects as text, nothing as an empty one. */

import { slot } from "@/i18n/format";

export function valueText(field: string, value: unknown): string {
  if (value === null || value === undefined) return "";
  if (field.startsWith("slots.")) return slot(field.slice(6), String(value));
  if (Array.isArray(value) && value.every((item) => typeof item !== "object")) return value.join(" ");
  if (typeof value === "object") return JSON.stringify(value);
  return String(value);
}
