/** Dialogs: with a form, and to confirm what cannot be taken back. */

import { type ReactNode, useState } from "react";
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { TextField } from "@/ui/field";
import { useFocusReturn } from "@/ui/focus-return";
import styles from "./dialog.module.css";

type DialogProps = {
  title: string;
  onClose: () => void;
  children: ReactNode;
  actions?: ReactNode;
  fixed?: boolean;
  side?: boolean;
};

/** A dialog over the page. `fixed`: neither Escape nor a press beside it closes it. `side`: at the right edge, of the page's height. */
export function Dialog({ title, onClose, children, actions, fixed, side }: DialogProps) {
  const t = useT();
  useFocusReturn();
  return (
    <ModalOverlay
      className={styles.overlay}
      isOpen
      isDismissable={!fixed}
      isKeyboardDismissDisabled={fixed ?? false}
      onOpenChange={(open) => !open && onClose()}
    >
      <Modal className={`${styles.modal} ${side ? styles.side : ""}`}>
        <AriaDialog className={styles.dialog}>
          <div className={styles.head}>
            <Heading slot="title" className={styles.title}>
              {title}
            </Heading>
            {side && (
              <Button small kind="quiet" onPress={onClose}>
                {t.common.close}
              </Button>
            )}
          </div>
          {children}
          {actions && <div className={styles.actions}>{actions}</div>}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}

type ConfirmProps = {
  title: string;
  text: ReactNode;
  verb: string;
  onConfirm: () => Promise<unknown>;
  onClose: () => void;
  /** Name that has to be typed before. */
  name?: string;
  /** What stands below the text: its effect, fields. */
  children?: ReactNode;
};

/** Ask before something is done; the button says what. An error stays in the dialog. */
export function Confirm({ title, text, verb, onConfirm, onClose, name, children }: ConfirmProps) {
  const t = useT();
  const [typed, setTyped] = useState("");
  const [working, setWorking] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const confirm = async () => {
    setWorking(true);
    setError(null);
    try {
      await onConfirm();
      onClose();
    } catch (found) {
      setError(found as Error);
    } finally {
      setWorking(false);
    }
  };
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button onPress={onClose}>{t.common.cancel}</Button>
          <Button
            kind="danger"
            disabled={working || (name !== undefined && typed !== name)}
            onPress={() => void confirm()}
          >
            {verb}
          </Button>
        </>
      }
    >
      <p>{text}</p>
      {children}
      {name !== undefined && (
        <TextField label={t.common.typeName(name)} value={typed} onChange={setTyped} autoFocus mono />
      )}
      {error && <ProblemCard error={error} />}
    </Dialog>
  );
}
