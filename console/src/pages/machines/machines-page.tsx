/** Machines of the fleet: status, group, what is used of what there is; and the app-proxies. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { type Machine, machinesQuery } from "@/api/machines";
import { useMayOperate } from "@/app/rights";
import { Page } from "@/app/shell";
import { type Messages, useT } from "@/i18n";
import { slot } from "@/i18n/format";
import { AppProxies } from "@/pages/machines/app-proxies";
import { JoinDialog } from "@/pages/machines/join-dialog";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/card";
import { Twofold } from "@/ui/layout";
import { MachineBadge } from "@/ui/machine-badge";
import { PageHead } from "@/ui/page-head";
import { PagedCard } from "@/ui/paged-card";
import type { Column } from "@/ui/table";
import { Tabs, tabClass } from "@/ui/tabs";

export function MachinesPage() {
  const t = useT();
  const { tab } = useSearch({ from: "/machines" });
  const mayOperate = useMayOperate();
  const found = useInfiniteQuery(machinesQuery);
  const [joining, setJoining] = useState(false);
  const join = mayOperate && (
    <Button kind="primary" onPress={() => setJoining(true)}>
      {t.machines.join}
    </Button>
  );
  return (
    <Page>
      <PageHead title={t.machines.title}>{join}</PageHead>
      <Tabs label={t.machines.title}>
        <Link to="/machines" search={{ tab: undefined }} className={tabClass} activeOptions={{ exact: true }}>
          {t.machines.title}
        </Link>
        <Link to="/machines" search={{ tab: "app-proxies" }} className={tabClass}>
          {t.machines.proxies}
        </Link>
      </Tabs>
      {tab === "app-proxies" ? (
        <AppProxies />
      ) : (
        <PagedCard
          label={t.machines.title}
          found={found}
          columns={columnsOf(t)}
          rowKey={(machine) => machine.id}
          empty={
            <Empty title={t.machines.empty} action={join}>
              {t.machines.emptyHelp}
            </Empty>
          }
        />
      )}
      {joining && <JoinDialog onClose={() => setJoining(false)} />}
    </Page>
  );
}

function columnsOf(t: Messages): readonly Column<Machine>[] {
  return [
    {
      id: "name",
      title: t.machines.name,
      cell: (machine) => (
        <Twofold
          first={
            <Link to="/machines/$machine" params={{ machine: machine.id }}>
              {machine.id}
            </Link>
          }
          second={machine.hostname === machine.id ? null : machine.hostname}
        />
      ),
    },
    {
      id: "status",
      title: t.machines.status,
      kind: "wrap",
      cell: (machine) => (
        <>
          <MachineBadge machine={machine} />
          {whyOf(machine) && <p>{whyOf(machine)}</p>}
        </>
      ),
    },
    { id: "group", title: t.machines.group, cell: (machine) => machine.resource_group },
    { id: "used", title: t.machines.used, kind: "wrap", cell: used },
    { id: "runtime", title: t.machines.runtime, cell: (machine) => machine.runtime },
    { id: "heard", title: t.machines.heard, kind: "number", cell: (machine) => <Ago at={machine.last_seen_at} /> },
  ];
}

function whyOf({ cordon, address_problem: address, plan_problem: plan }: Machine): string {
  return [cordon?.reason, address, plan].filter(Boolean).join("; ");
}

function used(machine: Machine): string {
  return Object.entries(machine.slots)
    .map(([name, whole]) => `${slot(name, machine.allocated[name] ?? "0")} / ${slot(name, whole)} ${name}`)
    .join(", ");
}
