/** A secret that the API shows once. It lives in this dialog, and goes with it. */

import type { ReactNode } from "react";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { Copyable } from "@/ui/copy";
import { Dialog } from "@/ui/dialog";

type Props = { title: string; secret: string; onClose: () => void; children?: ReactNode };

export function ShownOnce({ title, secret, onClose, children }: Props) {
  const t = useT();
  return (
    <Dialog
      title={title}
      onClose={onClose}
      fixed
      actions={
        <Button kind="primary" onPress={onClose}>
          {t.access.kept}
        </Button>
      }
    >
      <p>{t.access.once}</p>
      <Copyable text={secret} label={title} />
      {children}
    </Dialog>
  );
}
