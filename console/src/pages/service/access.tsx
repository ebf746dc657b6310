/** Access to a service: its tokens; a new one is shown once, with a call to paste. */

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Token, tokenActions, tokensQuery } from "@/api/access";
import { type ServiceDetail, serviceActions, serviceQuery } from "@/api/services";
import { useMayChange } from "@/app/rights";
import { type Messages, useT } from "@/i18n";
import { NewTokenDialog } from "@/pages/service/new-token";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { Check } from "@/ui/field";
import { type Column, Table } from "@/ui/table";
import styles from "./service-page.module.css";

export function AccessTab() {
  const { service: name } = useParams({ from: "/services/$service" });
  const { data: service } = useQuery(serviceQuery(name));
  if (!service) return null;
  return (
    <div className={styles.stack}>
      <PublicCard service={service} />
      <Tokens service={service} />
    </div>
  );
}

function PublicCard({ service }: { service: ServiceDetail }) {
  const t = useT();
  const queries = useQueryClient();
  const mayChange = useMayChange(service.project);
  const [error, setError] = useState<Error | null>(null);
  const set = (open: boolean) =>
    void serviceActions
      .change(service.name, { open_to_public: open })
      .then((changed) => queries.setQueryData(serviceQuery(service.name).queryKey, changed), setError);
  return (
    <Card>
      <Check label={t.newService.public} checked={service.open_to_public} onChange={set} disabled={!mayChange} />
      <p className={styles.why}>{service.open_to_public ? t.access.publicText : t.access.tokenText}</p>
      {error && <ProblemCard error={error} />}
    </Card>
  );
}

function Tokens({ service }: { service: ServiceDetail }) {
  const t = useT();
  const queries = useQueryClient();
  const mayChange = useMayChange(service.project);
  const found = useInfiniteQuery(tokensQuery(service.name));
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const tokens = found.data?.pages.flatMap((page) => page.items);
  const read = () => queries.invalidateQueries({ queryKey: ["access", "tokens", service.name] });
  const make = mayChange && (
    <Button small kind="primary" onPress={() => setMaking(true)}>
      {t.access.new}
    </Button>
  );
  return (
    <Card title={t.access.tokens} actions={make} flush>
      {found.error && <ProblemCard error={found.error} onRetry={() => void found.refetch()} />}
      {!tokens && !found.error && <Skeleton />}
      {tokens?.length === 0 && (
        <Empty title={t.access.empty}>{service.open_to_public ? t.access.publicText : t.access.emptyHelp}</Empty>
      )}
      {tokens && tokens.length > 0 && (
        <Table
          label={t.access.tokens}
          rows={tokens}
          rowKey={(token) => token.id}
          columns={columnsOf(t, mayChange ? setRevoking : null)}
        />
      )}
      {found.hasNextPage && (
        <div style={{ padding: 12 }}>
          <Button onPress={() => void found.fetchNextPage()}>{t.common.more}</Button>
        </div>
      )}
      {making && <NewTokenDialog service={service} onClose={() => setMaking(false)} onMade={() => void read()} />}
      {revoking && (
        <Confirm
          title={t.access.revokeTitle(revoking.name)}
          text={t.access.revokeText}
          verb={t.access.revoke}
          onConfirm={() => tokenActions.revoke(service.name, revoking.id).then(read)}
          onClose={() => setRevoking(null)}
        />
      )}
    </Card>
  );
}

function columnsOf(t: Messages, onRevoke: ((token: Token) => void) | null): readonly Column<Token>[] {
  return [
    { id: "name", title: t.services.name, cell: (token) => token.name },
    { id: "by", title: t.history.who, cell: (token) => token.created_by },
    { id: "created", title: t.folders.created, cell: (token) => <Ago at={token.created_at} /> },
    { id: "limits", title: t.access.limits, kind: "wrap", cell: (token) => limitsOf(token) || t.common.none },
    {
      id: "ends",
      title: t.access.expires,
      cell: (token) => (token.revoked_at ? t.access.revoked : <Ago at={token.expires_at} />),
    },
    {
      id: "revoke",
      title: "",
      kind: "number",
      cell: (token) =>
        onRevoke &&
        !token.revoked_at && (
          <Button small onPress={() => onRevoke(token)}>
            {t.access.revoke}
          </Button>
        ),
    },
  ];
}

function limitsOf({ limits }: Token): string {
  return Object.entries(limits)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${value} ${name.replaceAll("_", " ")}`)
    .join(", ");
}
