/** Group and labels of a machine. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type MachineDetail, machineActions } from "@/api/machines";
import { resourceGroupsQuery } from "@/api/resource-groups";
import { useT } from "@/i18n";
import { labelChange, labelText } from "@/pages/machine/labels";
import { Choice } from "@/ui/choice";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";

type Props = { machine: MachineDetail; onClose: () => void; onDone: () => Promise<unknown> };

export function EditMachine({ machine, onClose, onDone }: Props) {
  const t = useT();
  const found = useInfiniteQuery(resourceGroupsQuery);
  const names = found.data?.pages.flatMap((page) => page.items.map((one) => one.name)) ?? [];
  const [group, setGroup] = useState(machine.resource_group);
  const [labels, setLabels] = useState(labelText(machine.labels ?? {}));
  const save = async () => {
    const change = labelChange(machine.labels ?? {}, labels);
    if (change) await machineActions.setLabels(machine.id, change);
    if (group !== machine.resource_group) await machineActions.setGroup(machine.id, group);
    await onDone();
    onClose();
  };
  return (
    <FormDialog title={machine.id} verb={t.projects.save} onSubmit={save} onClose={onClose}>
      <Choice
        label={t.machines.group}
        value={group}
        onChange={setGroup}
        options={[...new Set([machine.resource_group, ...names])].map((value) => ({ value, label: value }))}
      />
      <TextField
        label={t.machines.labels}
        value={labels}
        onChange={setLabels}
        help={t.machines.labelsHelp}
        lines={4}
        maxLength={16_384}
        mono
      />
    </FormDialog>
  );
}
