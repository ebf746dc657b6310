/** What is done with a machine: drain, take nothing new, go on, group and labels, forget. */

import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { type MachineDetail, machineActions } from "@/api/machines";
import { useMayOperate } from "@/app/rights";
import { useT } from "@/i18n";
import { EditMachine } from "@/pages/machine/edit-machine";
import { useServicesOn } from "@/pages/machine/kernels";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { MoreIcon } from "@/ui/icons";
import { Menu } from "@/ui/menu";

type Asked = "drain" | "cordon" | "edit" | "remove" | null;

export function MachineActions({ machine }: { machine: MachineDetail }) {
  const t = useT();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const mayOperate = useMayOperate();
  const [asked, setAsked] = useState<Asked>(null);
  const [error, setError] = useState<Error | null>(null);
  if (!mayOperate) return null;
  const read = () => queries.invalidateQueries({ queryKey: ["machines"] });
  const close = () => setAsked(null);
  const goOn = () => {
    setError(null);
    void machineActions.uncordon(machine.id).then(read, setError);
  };
  return (
    <>
      {(machine.cordon || machine.draining) && <Button onPress={goOn}>{t.machines.undrain}</Button>}
      {!machine.draining && <Button onPress={() => setAsked("drain")}>{t.machines.drain}</Button>}
      <Menu
        label={t.common.more}
        icon={<MoreIcon />}
        actions={[
          {
            id: "cordon",
            label: t.machines.states.cordoned,
            onAction: () => setAsked("cordon"),
            disabled: Boolean(machine.cordon),
          },
          { id: "edit", label: t.machines.edit, onAction: () => setAsked("edit") },
          { id: "remove", label: t.machines.forget, onAction: () => setAsked("remove"), danger: true },
        ]}
      />
      {error && <ProblemCard error={error} />}
      {(asked === "drain" || asked === "cordon") && (
        <Emptying machine={machine} what={asked} onClose={close} onDone={read} />
      )}
      {asked === "edit" && <EditMachine machine={machine} onClose={close} onDone={read} />}
      {asked === "remove" && (
        <Confirm
          title={t.machines.forgetTitle(machine.id)}
          text={t.machines.forgetText}
          verb={t.machines.forget}
          name={machine.id}
          onConfirm={() => machineActions.remove(machine.id).then(() => navigate({ to: "/machines" }).then(read))}
          onClose={close}
        />
      )}
    </>
  );
}

type EmptyingProps = {
  machine: MachineDetail;
  what: "drain" | "cordon";
  onClose: () => void;
  onDone: () => Promise<unknown>;
};

/** Drain: replicas move. Cordon: they stay. Both say why. */
function Emptying({ machine, what, onClose, onDone }: EmptyingProps) {
  const t = useT();
  const [why, setWhy] = useState("");
  const services = [...useServicesOn(machine.id).values()];
  const submit = async () => {
    await machineActions[what](machine.id, why.trim());
    await onDone();
    onClose();
  };
  return (
    <FormDialog
      title={`${what === "drain" ? t.machines.drain : t.machines.states.cordoned}: ${machine.id}`}
      verb={what === "drain" ? t.machines.drain : t.machines.cordon}
      onSubmit={submit}
      onClose={onClose}
    >
      <p>{what === "drain" ? t.machines.drainText : t.machines.cordonText}</p>
      {what === "drain" && (
        <p>{services.length > 0 ? t.machines.moves(services.join(", ")) : t.machines.movesNothing}</p>
      )}
      <TextField label={t.common.why} value={why} onChange={setWhy} autoFocus maxLength={200} />
    </FormDialog>
  );
}
