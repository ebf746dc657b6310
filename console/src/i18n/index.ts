/** Language of the page: the chosen one, else the browser's first that is here, else English. */

import { useSyncExternalStore } from "react";
import { en } from "@/i18n/en";
import type { Messages } from "@/i18n/messages";
import { onPreferences, preferences } from "@/lib/preferences";

export type { Messages } from "@/i18n/messages";
export type Language = "en" | "ko" | "ja";
export const LANGUAGES: Record<Language, string> = { en: "English", ko: "한국어", ja: "日本語" };

const loaders: Record<Language, () => Promise<Messages>> = {
  en: async () => en,
  ko: async () => (await import("@/i18n/ko")).ko,
  ja: async () => (await import("@/i18n/ja")).ja,
};

let shown: { language: Language; messages: Messages } = { language: "en", messages: en };
const listeners = new Set<() => void>();

/** Load the language of the preferences; what is shown stays where its file cannot be read. */
export async function applyLanguage(): Promise<void> {
  const language = wanted();
  try {
    const messages = await loaders[language]();
    if (language !== wanted()) return; // another one was chosen meanwhile
    shown = { language, messages };
  } catch {
    return;
  }
  document.documentElement.lang = shown.language;
  for (const listener of listeners) listener();
}

/** Return the texts, and follow the language. */
export function useT(): Messages {
  return useSyncExternalStore(onChange, () => shown).messages;
}

/** Return the language that is shown, for `Intl`. */
export function useLanguage(): Language {
  return useSyncExternalStore(onChange, () => shown).language;
}

function onChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function wanted(): Language {
  const chosen = preferences().language;
  if (chosen) return chosen;
  const known = (navigator.languages ?? []).map((name) => name.slice(0, 2)).find((name) => name in LANGUAGES);
  return (known as Language | undefined) ?? "en";
}

onPreferences(() => void applyLanguage());
