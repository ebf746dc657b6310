/** Numbers, sizes, durations and times as the console writes them. */

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

/** `1 m 20 s`, two units at most; below a second in ms. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  const whole = Math.floor(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor((whole % 86400) / 3600), "h"],
    [Math.floor((whole % 3600) / 60), "m"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(" ");
}

/** `3 m`: one unit, for ages that are looked at in passing. */
export function age(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** Memory: `1.5 GiB`. */
export function memory(bytes: number): string {
  if (bytes >= GIB) return `${trimmed(bytes / GIB)} GiB`;
  if (bytes >= MIB) return `${trimmed(bytes / MIB)} MiB`;
  return `${bytes} B`;
}

/** A latency: ms below a second, three digits of seconds above. */
export function latency(seconds: number): string {
  if (seconds < 0.01) return `${trimmed(seconds * 1000)} ms`;
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${Number(seconds.toPrecision(3))} s`;
}

/** Disks and traffic: `1.5 GB`. */
export function disk(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${trimmed(value)} ${units[unit]}`;
}

/** Amount of a slot: memory in GiB, everything else as it is. */
export function slot(name: string, amount: string): string {
  return name === "mem" && /^\d+$/.test(amount) ? memory(Number(amount)) : amount;
}

/** Date and time in the zone, with the zone's name. */
export function dateTime(at: Date, language: string, zone: "local" | "utc"): string {
  const { time, name } = formatsOf(language, zone);
  const words = time.format(at);
  if (zone === "utc") return `${words} UTC`;
  return `${words} ${name.formatToParts(at).find((part) => part.type === "timeZoneName")?.value ?? ""}`;
}

type Formats = { time: Intl.DateTimeFormat; name: Intl.DateTimeFormat };
const formats = new Map<string, Formats>();

/** Return the formats of a language and zone, made once: each takes longer to make than a row of a table to render. */
function formatsOf(language: string, zone: "local" | "utc"): Formats {
  const key = `${language} ${zone}`;
  let found = formats.get(key);
  if (!found) {
    const timeZone = zone === "utc" ? { timeZone: "UTC" } : {};
    found = {
      time: new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium", ...timeZone }),
      name: new Intl.DateTimeFormat(language, { timeZoneName: "short", ...timeZone }),
    };
    formats.set(key, found);
  }
  return found;
}

function trimmed(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, "");
}
