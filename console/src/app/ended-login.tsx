/** Dialog over the page whose login has ended; the page and what is typed stay. */

import { useT } from "@/i18n";
import { LoginForm } from "@/pages/login/login-page";
import { Dialog } from "@/ui/dialog";

export function EndedLogin({ onEntered }: { onEntered: () => void }) {
  const t = useT();
  return (
    <Dialog title={t.login.title} onClose={() => {}} fixed>
      <p>{t.login.again}</p>
      <LoginForm onEntered={onEntered} />
    </Dialog>
  );
}
