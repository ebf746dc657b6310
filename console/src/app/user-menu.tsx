/** Who is logged in: what the browser keeps for him, his own page, log out. */

import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { logOut } from "@/api/login";
import { useLogin } from "@/app/login-gate";
import { PreferenceFields } from "@/app/preference-fields";
import { useT } from "@/i18n";
import { Button, buttonClass } from "@/ui/button";
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
              <Link to="/me" className={buttonClass()} onClick={() => setOpen(false)}>
                {t.users.me}
              </Link>
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
