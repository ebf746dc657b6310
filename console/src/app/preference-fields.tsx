/** Language, theme, height of rows, zone of times, single keys: kept by the browser. */

import { useSyncExternalStore } from "react";
import { LANGUAGES, type Language, useT } from "@/i18n";
import { onPreferences, prefer, preferences } from "@/lib/preferences";
import { Choice } from "@/ui/choice";

export function PreferenceFields() {
  const t = useT();
  const { theme, language, density, zone } = useSyncExternalStore(onPreferences, preferences);
  const languages = Object.entries(LANGUAGES).map(([value, label]) => ({ value: value as Language, label }));
  return (
    <>
      <Choice
        label={t.top.language}
        value={language || "auto"}
        onChange={(value) => prefer({ language: value === "auto" ? "" : value })}
        options={[{ value: "auto" as const, label: t.top.asBrowser }, ...languages]}
      />
      <Choice
        label={t.top.theme.label}
        value={theme}
        onChange={(value) => prefer({ theme: value })}
        options={(["system", "light", "dark"] as const).map((value) => ({ value, label: t.top.theme[value] }))}
      />
      <Choice
        label={t.top.density.label}
        value={density}
        onChange={(value) => prefer({ density: value })}
        options={(["normal", "compact"] as const).map((value) => ({ value, label: t.top.density[value] }))}
      />
      <Choice
        label={t.top.zone.label}
        value={zone}
        onChange={(value) => prefer({ zone: value })}
        options={(["local", "utc"] as const).map((value) => ({ value, label: t.top.zone[value] }))}
      />
    </>
  );
}
