/** What the browser keeps for a person: theme, language, density, time zone. Never a key, token or login. */

export type Preferences = {
  theme: "system" | "light" | "dark";
  language: "" | "en" | "ko" | "ja";
  density: "normal" | "compact";
  zone: "local" | "utc";
  singleKeys: boolean;
};

const NAME = "headrace-preferences";
const DEFAULTS: Preferences = { theme: "system", language: "", density: "normal", zone: "local", singleKeys: true };
const ALLOWED: { [K in keyof Preferences]: readonly Preferences[K][] } = {
  theme: ["system", "light", "dark"],
  language: ["", "en", "ko", "ja"],
  density: ["normal", "compact"],
  zone: ["local", "utc"],
  singleKeys: [true, false],
};

let current = read();
const listeners = new Set<() => void>();

/** Return the preferences; the same object until one changes. */
export function preferences(): Preferences {
  return current;
}

/** Change preferences, here and in the browser's storage where that is allowed. */
export function prefer(change: Partial<Preferences>): void {
  current = { ...current, ...change };
  try {
    localStorage.setItem(NAME, JSON.stringify(current));
  } catch {
    // A browser that keeps nothing: they hold until the page is left.
  }
  for (const listener of listeners) listener();
}

/** Call `listener` at each change, until the returned function is called. */
export function onPreferences(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function read(): Preferences {
  let stored: unknown;
  try {
    stored = JSON.parse(localStorage.getItem(NAME) ?? "{}");
  } catch {
    return DEFAULTS;
  }
  if (typeof stored !== "object" || stored === null) return DEFAULTS;
  const known = Object.entries(stored).filter(
    ([name, value]) => name in ALLOWED && (ALLOWED[name as keyof Preferences] as readonly unknown[]).includes(value),
  );
  return { ...DEFAULTS, ...Object.fromEntries(known) };
}
