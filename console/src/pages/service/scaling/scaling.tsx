/** Scaling of a service: its rules with what each saw last, and every change of the number of replicas. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Decision, decisionsQuery, type Rule, rulesQuery } from "@/api/scaling";
import { type ServiceDetail, serviceQuery } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { useT } from "@/i18n";
import { RuleDialog } from "@/pages/service/scaling/rule-dialog";
import { rounded } from "@/pages/service/scaling/rule-form";
import { RuleRow } from "@/pages/service/scaling/rule-row";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { type Column, Table } from "@/ui/table";
import styles from "./scaling.module.css";

export function ScalingTab() {
  const { service: name } = useParams({ from: "/services/$service" });
  const { data: service } = useQuery(serviceQuery(name));
  if (!service) return null;
  return (
    <div className={styles.stack}>
      <Rules service={service} />
      <Decisions service={service} />
    </div>
  );
}

function Rules({ service }: { service: ServiceDetail }) {
  const t = useT();
  const mayChange = useMayChange(service.project);
  const { data, error, refetch } = useQuery(rulesQuery(service.name));
  const [edited, setEdited] = useState<Rule | "new" | null>(null);
  const add = (
    <Button small kind="primary" onPress={() => setEdited("new")}>
      {t.scaling.new}
    </Button>
  );
  return (
    <Card title={t.scaling.rules} actions={mayChange && add} flush>
      {error && <ProblemCard error={error} onRetry={() => void refetch()} />}
      {!data && !error && <Skeleton />}
      {data?.items.length === 0 && <Empty title={t.scaling.empty}>{t.scaling.emptyHelp}</Empty>}
      {data && data.items.length > 0 && (
        <ul>
          {data.items.map((rule) => (
            <RuleRow key={rule.id} service={service} rule={rule} onEdit={() => setEdited(rule)} />
          ))}
        </ul>
      )}
      {edited && (
        <RuleDialog service={service} rule={edited === "new" ? null : edited} onClose={() => setEdited(null)} />
      )}
    </Card>
  );
}

function Decisions({ service }: { service: ServiceDetail }) {
  const t = useT();
  const found = useInfiniteQuery(decisionsQuery(service.name));
  const decisions = found.data?.pages.flatMap((page) => page.items);
  const columns: readonly Column<Decision>[] = [
    { id: "at", title: t.history.when, cell: (one) => <Ago at={one.at} /> },
    { id: "by", title: t.scaling.by, cell: (one) => t.scaling.sources[one.source] },
    { id: "change", title: t.services.replicas, cell: (one) => `${one.from_replicas} → ${one.to_replicas}` },
    {
      id: "observed",
      title: t.scaling.observed,
      kind: "number",
      cell: (one) => (one.observed === null ? t.common.none : rounded(one.observed)),
    },
    {
      id: "why",
      title: t.common.why,
      kind: "wrap",
      cell: (one) => <span title={one.reason.code}>{one.reason.text}</span>,
    },
  ];
  return (
    <Card title={t.scaling.decisions} flush>
      {found.error && <ProblemCard error={found.error} onRetry={() => void found.refetch()} />}
      {!decisions && !found.error && <Skeleton />}
      {decisions?.length === 0 && <Empty title={t.scaling.noDecisions} />}
      {decisions && decisions.length > 0 && (
        <Table
          label={t.scaling.decisions}
          columns={columns}
          rows={decisions}
          rowKey={(one) => `${one.at} ${one.to_replicas}`}
        />
      )}
      {found.hasNextPage && (
        <div className={styles.more}>
          <Button disabled={found.isFetching} onPress={() => void found.fetchNextPage()}>
            {t.common.more}
          </Button>
        </div>
      )}
    </Card>
  );
}
