/** Limits of a project, slot by slot; an empty one is none. */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Project, type ProjectUsage, projectActions, projectQuery } from "@/api/projects";
import { useT } from "@/i18n";
import { amount, quotaChange, quotaRows } from "@/pages/project/quota";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { Quiet } from "@/ui/layout";

type Props = { project: Project; usage: ProjectUsage; onClose: () => void };

const USUAL = { services: "0", cpu: "0", mem: "0", "cuda.device": "0", storage: "0", files: "0" };

export function EditQuota({ project, usage, onClose }: Props) {
  const t = useT();
  const queries = useQueryClient();
  const before = project.quota ?? {};
  const [limits, setLimits] = useState<Record<string, string>>(before);
  const [other, setOther] = useState({ slot: "", limit: "" });
  const change = quotaChange(before, {
    ...limits,
    ...(other.slot.trim() ? { [other.slot.trim()]: other.limit } : {}),
  });
  const save = async () => {
    if (change) {
      const changed = await projectActions.change(project.name, { quota: change }, project.etag);
      queries.setQueryData(projectQuery(project.name).queryKey, changed);
      void queries.invalidateQueries({ queryKey: ["project-usage", project.name] });
    }
    onClose();
  };
  return (
    <FormDialog title={t.projects.editQuota} verb={t.projects.save} onSubmit={save} onClose={onClose}>
      <Quiet>{t.projects.quotaHelp}</Quiet>
      {quotaRows({ used: { ...USUAL, ...usage.used }, limits: before }).map(({ slot, used }) => (
        <TextField
          key={slot}
          label={slot}
          value={limits[slot] ?? ""}
          onChange={(limit) => setLimits({ ...limits, [slot]: limit })}
          help={t.projects.usedNow(amount(slot, used))}
          maxLength={40}
          mono
        />
      ))}
      <TextField
        label={t.projects.otherSlot}
        value={other.slot}
        onChange={(slot) => setOther({ ...other, slot })}
        maxLength={64}
        mono
      />
      {other.slot && (
        <TextField
          label={t.projects.limit}
          value={other.limit}
          onChange={(limit) => setOther({ ...other, limit })}
          maxLength={40}
          mono
        />
      )}
    </FormDialog>
  );
}
