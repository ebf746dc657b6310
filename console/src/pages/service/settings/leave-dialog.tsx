/** Asks before changes that are not saved are left behind. */

import { useBlocker } from "@tanstack/react-router";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";

export function LeaveDialog({ dirty, onLeave }: { dirty: boolean; onLeave: () => void }) {
  const t = useT();
  const { status, proceed, reset } = useBlocker({
    shouldBlockFn: ({ current, next }) => dirty && current.pathname !== next.pathname,
    enableBeforeUnload: () => dirty,
    withResolver: true,
  });
  if (status !== "blocked") return null;
  return (
    <Dialog
      title={t.settings.leave.title}
      onClose={reset}
      actions={
        <>
          <Button
            kind="danger"
            onPress={() => {
              onLeave();
              proceed();
            }}
          >
            {t.settings.leave.leave}
          </Button>
          <Button kind="primary" onPress={reset} autoFocus>
            {t.settings.leave.stay}
          </Button>
        </>
      }
    >
      <p>{t.settings.leave.text}</p>
    </Dialog>
  );
}
