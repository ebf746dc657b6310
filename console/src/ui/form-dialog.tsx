/** A dialog with a form. What was typed stays while the change is refused, with the API's reason below it. */

import { type FormEvent, type ReactNode, useId, useState } from "react";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { Dialog } from "@/ui/dialog";

type Props = {
  title: string;
  verb: string;
  onSubmit: () => Promise<unknown>;
  onClose: () => void;
  children: ReactNode;
  /** Whether everything that is needed is filled in. */
  ready?: boolean;
};

export function FormDialog({ title, verb, onSubmit, onClose, children, ready = true }: Props) {
  const t = useT();
  const form = useId();
  const [working, setWorking] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (working || !ready) return;
    setWorking(true);
    setError(null);
    try {
      await onSubmit();
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
          <Button kind="primary" type="submit" form={form} disabled={working || !ready}>
            {verb}
          </Button>
        </>
      }
    >
      <form id={form} onSubmit={(event) => void submit(event)} style={{ display: "grid", gap: 14 }}>
        {children}
      </form>
      {error && <ProblemCard error={error} />}
    </Dialog>
  );
}
