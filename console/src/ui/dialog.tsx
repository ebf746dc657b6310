/** Dialogs: with a form, and to confirm what cannot be taken back. */

import { type ReactNode, useState } from "react";
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from "react-aria-components";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { TextField } from "@/ui/field";
import { useFocusReturn } from "@/ui/focus-return";
import styles from "./dialog.module.css";

type DialogProps = { title: string; onClose: () => void; children: ReactNode; actions?: ReactNode; fixed?: boolean };

/** A dialog over the page. `fixed`: neither Escape nor a press beside it closes it. */
export function Dialog({ title, onClose, children, actions, fixed }: DialogProps) {
  useFocusReturn();
  return (
    <ModalOverlay
      className={styles.overlay}
      isOpen
      isDismissable={!fixed}
      isKeyboardDismissDisabled={fixed ?? false}
      onOpenChange={(open) => !open && onClose()}
    >
      <Modal className={styles.modal}>
        <AriaDialog className={styles.dialog}>
          <Heading slot="title" className={styles.title}>
            {title}
          </Heading>
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
};

/** Ask before something is done; the button says what. An error stays in the dialog. */
export function Confirm({ title, text, verb, onConfirm, onClose, name }: ConfirmProps) {
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
      {name !== undefined && (
        <TextField label={t.common.typeName(name)} value={typed} onChange={setTyped} autoFocus mono />
      )}
      {error && <ProblemCard error={error} />}
    </Dialog>
  );
}
