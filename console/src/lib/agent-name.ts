/** Name of the program that a User-Agent field tells of. */

const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/Edg\/(\d+)/, "Edge"],
  [/OPR\/(\d+)/, "Opera"],
  [/Firefox\/(\d+)/, "Firefox"],
  [/(?:Headless)?Chrome\/(\d+)/, "Chrome"],
  [/Version\/(\d+)[\d.]* (?:Mobile\/\S+ )?Safari/, "Safari"],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/Windows/, "Windows"],
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/Mac OS X/, "macOS"],
  [/Linux/, "Linux"],
];
const MOST = 40;

/** Return `Firefox 140, Linux`, or what the field begins with where it is of no browser. */
export function agentName(field: string): string {
  for (const [pattern, name] of BROWSERS) {
    const version = pattern.exec(field)?.[1];
    if (!version) continue;
    const system = SYSTEMS.find(([known]) => known.test(field))?.[1];
    return system ? `${name} ${version}, ${system}` : `${name} ${version}`;
  }
  return field.slice(0, MOST) || "–";
}
