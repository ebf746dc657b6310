/** Who is logged in; language, theme, rows and times; log out. */

import { useQueryClient } from "@tanstack/react-query";
import { useState, useSyncExternalStore } from "react";
import { logOut } from "@/api/login";
import { useLogin } from "@/app/login-gate";
import { LANGUAGES, type Language, useT } from "@/i18n";
import { onPreferences, prefer, preferences } from "@/lib/preferences";
import { Button } from "@/ui/button";
import { Choice } from "@/ui/choice";
import { Dialog } from "@/ui/dialog";

export function UserMenu() {
  const t = useT();
  const { user } = useLogin();
  const queries = useQueryClient();
  const [open, setOpen] = useState(false);
  const leave = async () => {
    await logOut().catch(() => {});
    queries.clear();
    location.assign("/console/");
  };
  return (
    <>
      <Button kind="quiet" onPress={() => setOpen(true)}>
        {user.name}
      </Button>
      {open && (
        <Dialog
          title={user.name}
          onClose={() => setOpen(false)}
          actions={
            <>
              <Button onPress={() => void leave()}>{t.top.logOut}</Button>
              <Button kind="primary" onPress={() => setOpen(false)}>
                {t.common.close}
              </Button>
            </>
          }
        >
          <PreferenceFields />
        </Dialog>
      )}
    </>
  );
}

function PreferenceFields() {
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
