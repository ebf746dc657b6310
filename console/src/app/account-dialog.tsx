/** Who is logged in: what the browser keeps for him, his own page, log out. */

import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { logOut } from "@/api/login";
import { useLogin } from "@/app/login-gate";
import { PreferenceFields } from "@/app/preference-fields";
import { useT } from "@/i18n";
import { Button, buttonClass } from "@/ui/button";
import { Dialog } from "@/ui/dialog";

export function AccountDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const { user } = useLogin();
  const queries = useQueryClient();
  const leave = async () => {
    await logOut().catch(() => {});
    queries.clear();
    location.assign("/console/");
  };
  return (
    <Dialog
      title={user.name}
      onClose={onClose}
      actions={
        <>
          <Link to="/me" className={buttonClass()} onClick={onClose}>
            {t.users.me}
          </Link>
          <Button onPress={() => void leave()}>{t.top.logOut}</Button>
          <Button kind="primary" onPress={onClose}>
            {t.common.close}
          </Button>
        </>
      }
    >
      <PreferenceFields />
    </Dialog>
  );
}
