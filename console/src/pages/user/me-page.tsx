/** One's own page: keys, logins, password, and what the browser keeps. */

import { useLogin } from "@/app/login-gate";
import { PreferenceFields } from "@/app/preference-fields";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { Keys } from "@/pages/user/keys";
import { Logins } from "@/pages/user/logins";
import { PasswordCard } from "@/pages/user/password";
import { Card } from "@/ui/card";
import { Narrow, Quiet, Stack } from "@/ui/layout";
import { PageHead } from "@/ui/page-head";

export function MePage() {
  const t = useT();
  const { user, projects } = useLogin();
  const roles = Object.entries(projects).map(([name, role]) => `${name} (${t.projects.roles[role]})`);
  return (
    <Page>
      <PageHead title={user.name} />
      <Quiet>{[...(user.operator ? [t.users.operator] : []), ...roles].join(" · ")}</Quiet>
      <Keys user={user.name} />
      <Logins user={user.name} />
      <PasswordCard user={user.name} set={user.has_password ?? false} own />
      <Card title={t.users.preferences}>
        <Narrow>
          <Stack>
            <PreferenceFields />
          </Stack>
        </Narrow>
      </Card>
    </Page>
  );
}
