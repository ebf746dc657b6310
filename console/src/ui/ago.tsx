/** A time as its age; the date and time with its zone on hover and focus. */

import { useSyncExternalStore } from "react";
import { useLanguage, useT } from "@/i18n";
import { age, dateTime } from "@/i18n/format";
import { useNow } from "@/lib/clock";
import { onPreferences, preferences } from "@/lib/preferences";

export function Ago({ at, plain }: { at: string; plain?: boolean }) {
  const t = useT();
  const now = useNow();
  const seconds = (now - Date.parse(at)) / 1000;
  const text = age(Math.abs(seconds));
  const words = plain ? text : seconds < -1 ? t.units.in(text) : t.units.ago(text);
  return (
    <time dateTime={at} title={useDateTime(at)}>
      {words}
    </time>
  );
}

export function DateTime({ at }: { at: string }) {
  return <time dateTime={at}>{useDateTime(at)}</time>;
}

function useDateTime(at: string): string {
  const { zone } = useSyncExternalStore(onPreferences, preferences);
  return dateTime(new Date(at), useLanguage(), zone);
}
