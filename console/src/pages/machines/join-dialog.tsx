/** Join line: made with its end and uses, copied, and awaited: machines show here as they come. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type JoinToken, machineActions, machinesQuery } from "@/api/machines";
import { resourceGroupsQuery } from "@/api/resource-groups";
import { useT } from "@/i18n";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Choice } from "@/ui/choice";
import { CopyButton } from "@/ui/copy";
import { Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { Example, Line, Quiet } from "@/ui/layout";
import { Badge } from "@/ui/status";

const HOURS = ["1", "24", "168"] as const;
const READ_AGAIN_MS = 3_000;

export function JoinDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const found = useInfiniteQuery(resourceGroupsQuery);
  const groups = found.data?.pages.flatMap((page) => page.items.map((group) => group.name)) ?? ["default"];
  const [group, setGroup] = useState("default");
  const [form, setForm] = useState<"wheels" | "docker">("wheels");
  const [uses, setUses] = useState("1");
  const [hours, setHours] = useState<(typeof HOURS)[number]>("1");
  const [made, setMade] = useState<JoinToken | null>(null);
  const create = async () =>
    setMade(
      await machineActions.createJoinToken({
        resource_group: group,
        form,
        uses: Number(uses),
        ttl_s: Number(hours) * 3600,
      }),
    );
  if (made) return <Awaited token={made} onClose={onClose} />;
  return (
    <FormDialog
      title={t.machines.join}
      verb={t.machines.makeLine}
      onSubmit={create}
      onClose={onClose}
      ready={/^[1-9]\d*$/.test(uses)}
    >
      <Choice
        label={t.machines.group}
        value={group}
        onChange={setGroup}
        options={groups.map((value) => ({ value, label: value }))}
      />
      <Choice
        label={t.machines.by}
        value={form}
        onChange={setForm}
        options={(["wheels", "docker"] as const).map((value) => ({ value, label: t.machines.forms[value] }))}
      />
      <TextField label={t.machines.uses} value={uses} onChange={setUses} type="number" />
      <Choice
        label={t.machines.goodFor}
        value={hours}
        onChange={setHours}
        options={HOURS.map((value) => ({ value, label: t.machines.hours[value] }))}
      />
    </FormDialog>
  );
}

/** Machines that were not there when the line was made. */
function Awaited({ token, onClose }: { token: JoinToken; onClose: () => void }) {
  const t = useT();
  const found = useInfiniteQuery({ ...machinesQuery, refetchInterval: READ_AGAIN_MS });
  const ids = found.data?.pages.flatMap((page) => page.items.map((machine) => machine.id));
  const [before] = useState(() => new Set(ids));
  const come = (ids ?? []).filter((id) => !before.has(id));
  return (
    <Dialog
      title={t.machines.join}
      onClose={onClose}
      fixed
      actions={
        <Button kind="primary" onPress={onClose}>
          {t.common.close}
        </Button>
      }
    >
      <p>{t.machines.runLine}</p>
      <Line>
        <div style={{ flex: "1 1 0", minWidth: 0 }}>
          <Example text={token.command} />
        </div>
        <CopyButton text={token.command} label={t.machines.join} />
      </Line>
      <Quiet>
        {t.access.expires} <Ago at={token.expires_at} />
      </Quiet>
      <div role="status">
        {come.length === 0 ? (
          <Badge look="deploying">{t.machines.awaited}</Badge>
        ) : (
          come.map((id) => (
            <Line key={id}>
              <Badge look="healthy">{t.machines.joined}</Badge>
              <Link to="/machines/$machine" params={{ machine: id }}>
                {id}
              </Link>
            </Line>
          ))
        )}
      </div>
    </Dialog>
  );
}
