/** Dialog that deletes a service once its name was typed; says what goes with it. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { serviceActions, serviceQuery } from "@/api/services";
import { useT } from "@/i18n";
import { Confirm } from "@/ui/dialog";

export function DeleteService({ name, onClose }: { name: string; onClose: () => void }) {
  const t = useT();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { data: service } = useQuery(serviceQuery(name));
  const running = service?.replica_list.length ?? 0;
  return (
    <Confirm
      title={t.service.deleteTitle(name)}
      text={running ? `${t.service.deleteRunning(running)} ${t.service.deleteText}` : t.service.deleteText}
      verb={t.service.delete}
      name={name}
      onConfirm={() =>
        serviceActions
          .remove(name)
          .then(() => navigate({ to: "/services", search: {}, ignoreBlocker: true }))
          .then(() => queries.invalidateQueries({ queryKey: ["services"] }))
      }
      onClose={onClose}
    />
  );
}
