/** Button with the name of who is logged in; what it opens is loaded then. */

import { lazy, Suspense, useState } from "react";
import { useLogin } from "@/app/login-gate";
import { Button } from "@/ui/button";

const AccountDialog = lazy(() => import("@/app/account-dialog").then((file) => ({ default: file.AccountDialog })));

export function UserMenu() {
  const { user } = useLogin();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button kind="quiet" onPress={() => setOpen(true)}>
        {user.name}
      </Button>
      {open && (
        <Suspense>
          <AccountDialog onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
  );
}
