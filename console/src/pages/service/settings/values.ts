/** Values of the API as texts of form fields, and back. A text that is none is sent as it is: the API says what it allows. */

import type { Field, Kind } from "@/pages/service/settings/fields";

type Mount = { folder: string; target?: string | null; read_only?: boolean };
type Step = { replicas: number | string; pause_s?: number | null };

const UNITS: readonly [string, number][] = [
  ["g", 1024 ** 3],
  ["m", 1024 ** 2],
];

/** Return the text of a value, empty where there is none. */
export function textOf(kind: Kind, value: unknown): string {
  if (value === null || value === undefined) return "";
  if (kind === "list") return (value as string[]).join("\n");
  if (kind === "slots")
    return Object.entries(value)
      .map(([name, amount]) => `${name}=${name === "mem" ? memory(String(amount)) : amount}`)
      .join("\n");
  if (kind === "pairs")
    return Object.entries(value)
      .map(([name, item]) => `${name}=${line(String(item))}`)
      .join("\n");
  if (kind === "steps")
    return (value as Step[])
      .map(({ replicas, pause_s: pause }) =>
        pause === null || pause === undefined ? replicas : `${replicas}:${pause}`,
      )
      .join("\n");
  if (kind === "mounts")
    return (value as Mount[])
      .map(({ folder, target, read_only: readOnly }) => [folder, target, readOnly === false && "rw"])
      .map((parts) => parts.filter(Boolean).join(":"))
      .join("\n");
  if (kind === "command" && Array.isArray(value)) return value.map((word: string) => quoted(word)).join(" ");
  return String(value);
}

/** Return the value of a text; of an empty one what the field is reset to, `undefined` where it is left out then. */
export function parsed({ kind, reset }: Pick<Field, "kind" | "reset">, text: string): unknown {
  if (kind === "check") return text === "true";
  if (text.trim() === "") return reset;
  if (kind === "number") return Number.isNaN(Number(text)) ? text : Number(text);
  if (kind === "amount") return /^\d+$/.test(text.trim()) ? Number(text) : text.trim();
  if (kind === "list") return lines(text);
  if (kind === "pairs" || kind === "slots") return pairs(text);
  if (kind === "steps") return lines(text).map(step);
  if (kind === "mounts") return lines(text).map(mount);
  return kind === "lines" || kind === "command" ? text : text.trim();
}

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((one) => one.trim())
    .filter(Boolean);
}

/** Bytes as `8g` or `512m`, where they are whole ones. */
function memory(bytes: string): string {
  const whole = UNITS.find(([, unit]) => /^\d+$/.test(bytes) && Number(bytes) > 0 && Number(bytes) % unit === 0);
  return whole ? `${Number(bytes) / whole[1]}${whole[0]}` : bytes;
}

/** A value that a line could not hold is written as a JSON string. */
function line(value: string): string {
  return /[\n\r]|^\s|\s$|^"/.test(value) ? JSON.stringify(value) : value;
}

/** A line without `=` is a name with an empty value, which the API judges. */
function pairs(text: string): Record<string, string> {
  return Object.fromEntries(
    lines(text).map((one) => {
      const at = one.indexOf("=");
      return at < 0 ? [one, ""] : [one.slice(0, at).trim(), unquoted(one.slice(at + 1))];
    }),
  );
}

function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" ? value : text;
  } catch {
    return text;
  }
}

function step(text: string): Step {
  const [replicas = "", pause] = text.split(":");
  return {
    replicas: /^\d+$/.test(replicas) ? Number(replicas) : replicas,
    pause_s: pause === undefined ? null : ((Number.isNaN(Number(pause)) ? pause : Number(pause)) as number),
  };
}

function mount(text: string): Mount {
  const writable = text.endsWith(":rw");
  const [folder = "", ...target] = (writable ? text.slice(0, -3) : text).split(":");
  return { folder, target: target.length ? target.join(":") : null, read_only: !writable };
}

/** A word as a shell reads it. */
export function quoted(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
