/** Healthy and wanted replicas, with buttons for one more and one fewer. */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type ServiceDetail, serviceActions, serviceQuery } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { useT } from "@/i18n";
import { IconButton } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { Dialog } from "@/ui/dialog";
import { MinusIcon, PlusIcon } from "@/ui/icons";
import styles from "./service-page.module.css";

export function ReplicaCount({ service }: { service: ServiceDetail }) {
  const t = useT();
  const queries = useQueryClient();
  const [error, setError] = useState<Error | null>(null);
  const [working, setWorking] = useState(false);
  const mayChange = useMayChange(service.project);
  const set = async (replicas: number) => {
    setWorking(true);
    try {
      queries.setQueryData(
        serviceQuery(service.name).queryKey,
        await serviceActions.change(service.name, { replicas }),
      );
    } catch (found) {
      setError(found as Error);
    } finally {
      setWorking(false);
    }
  };
  const stopped = service.phase === "stopped" || service.phase === "stopping";
  return (
    <span className={styles.count}>
      {mayChange && (
        <IconButton
          label={t.service.fewer}
          disabled={working || stopped || service.replicas <= 1}
          onPress={() => void set(service.replicas - 1)}
        >
          <MinusIcon />
        </IconButton>
      )}
      <span className={styles.number} title={t.services.ready(service.healthy_replicas, service.replicas)}>
        {service.healthy_replicas}/{service.replicas}
      </span>
      {mayChange && (
        <IconButton
          label={t.service.another}
          disabled={working || stopped}
          onPress={() => void set(service.replicas + 1)}
        >
          <PlusIcon />
        </IconButton>
      )}
      {error && (
        <Dialog title={t.service.wanted} onClose={() => setError(null)}>
          <ProblemCard error={error} />
        </Dialog>
      )}
    </span>
  );
}
