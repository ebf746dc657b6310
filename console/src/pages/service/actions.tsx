/** Actions on a service: start or stop, and what is dangerous behind a menu. */

import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type ServiceDetail, serviceActions } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { useT } from "@/i18n";
import { DeleteService } from "@/pages/service/delete-service";
import { Button, buttonClass } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { Confirm, Dialog } from "@/ui/dialog";
import { MoreIcon } from "@/ui/icons";
import { Menu } from "@/ui/menu";

type Asked = "stop" | "delete" | null;

export function Actions({ service }: { service: ServiceDetail }) {
  const t = useT();
  const queries = useQueryClient();
  const [asked, setAsked] = useState<Asked>(null);
  const [error, setError] = useState<Error | null>(null);
  if (!useMayChange(service.project)) return null;
  const { name } = service;
  const done = () => queries.invalidateQueries({ queryKey: ["services"] });
  const run = (action: (service: string) => Promise<unknown>) => void action(name).then(done, setError);
  const stopped = service.phase === "stopped" || service.phase === "stopping";
  return (
    <>
      <Link to="/chat" search={{ service: name }} className={buttonClass()}>
        {t.chat.title}
      </Link>
      <Link to="/services/$service/settings" params={{ service: name }} className={buttonClass()}>
        {t.service.update}
      </Link>
      {stopped ? (
        <Button kind="primary" onPress={() => run(serviceActions.start)}>
          {t.service.start}
        </Button>
      ) : (
        <Button onPress={() => setAsked("stop")}>{t.service.stop}</Button>
      )}
      <Menu
        label={t.common.more}
        icon={<MoreIcon />}
        actions={[
          { id: "restart", label: t.service.restart, onAction: () => run(serviceActions.restart), disabled: stopped },
          { id: "retry", label: t.service.retry, onAction: () => run(serviceActions.retry), disabled: stopped },
          { id: "delete", label: t.service.delete, onAction: () => setAsked("delete"), danger: true },
        ]}
      />
      {asked === "stop" && (
        <Confirm
          title={t.service.stopTitle(name)}
          text={t.service.stopText}
          verb={t.service.stop}
          onConfirm={() => serviceActions.stop(name).then(done)}
          onClose={() => setAsked(null)}
        />
      )}
      {asked === "delete" && <DeleteService name={name} onClose={() => setAsked(null)} />}
      {error && (
        <Dialog title={name} onClose={() => setError(null)}>
          <ProblemCard error={error} />
        </Dialog>
      )}
    </>
  );
}
