/** A service: its head with status, address and actions, and the tabs below. */

import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useParams } from "@tanstack/react-router";
import { useModelNames } from "@/api/model-names";
import { type ServiceDetail, serviceQuery } from "@/api/services";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { Actions } from "@/pages/service/actions";
import { ReplicaCount } from "@/pages/service/replica-count";
import { Card, ProblemCard, Skeleton } from "@/ui/card";
import { Copyable } from "@/ui/copy";
import { ServiceBadge } from "@/ui/status";
import { Tabs, tabClass } from "@/ui/tabs";
import styles from "./service-page.module.css";

const TABS = [
  { to: "/services/$service", name: "overview", exact: true },
  { to: "/services/$service/traffic", name: "traffic", exact: false },
  { to: "/services/$service/logs", name: "logs", exact: false },
  { to: "/services/$service/history", name: "history", exact: false },
  { to: "/services/$service/scaling", name: "scaling", exact: false },
  { to: "/services/$service/access", name: "access", exact: false },
  { to: "/services/$service/settings", name: "settings", exact: false },
] as const;

export function ServicePage() {
  const t = useT();
  const { service: name } = useParams({ from: "/services/$service" });
  const { data: service, error, refetch } = useQuery(serviceQuery(name));
  if (!service)
    return (
      <Page>
        <h1>{name}</h1>
        {error ? (
          <ProblemCard error={error} onRetry={() => void refetch()} />
        ) : (
          <Card>
            <Skeleton />
          </Card>
        )}
      </Page>
    );
  return (
    <Page>
      {error && <ProblemCard error={error} onRetry={() => void refetch()} />}
      <Head service={service} />
      <Tabs label={service.name}>
        {TABS.map(({ to, name: tab, exact }) => (
          <Link
            key={to}
            to={to}
            params={{ service: name }}
            className={tabClass}
            activeOptions={{ exact, includeSearch: false }}
          >
            {t.service.tabs[tab]}
          </Link>
        ))}
      </Tabs>
      <Outlet />
    </Page>
  );
}

function Head({ service }: { service: ServiceDetail }) {
  const t = useT();
  const models = useModelNames(service);
  return (
    <div className={styles.head}>
      <div className={styles.line}>
        <h1>{service.name}</h1>
        <ServiceBadge service={service} />
        <span className={styles.push}>
          <Actions service={service} />
        </span>
      </div>
      <p className={styles.why} title={service.reason.code}>
        {service.reason.text}
      </p>
      {service.note && <p className={styles.note}>{service.note.text}</p>}
      <dl className={styles.facts}>
        <Fact name={t.service.endpoint}>
          <Copyable text={service.endpoint} label={t.service.endpoint} />
        </Fact>
        <Fact name={t.service.fleet}>
          <Copyable text={service.fleet_endpoint} label={t.service.fleet} />
        </Fact>
        <Fact name={t.service.models}>{models?.join(", ") || t.common.none}</Fact>
        <Fact name={t.service.revision}>
          {service.revision} · {service.runtime}
        </Fact>
        <Fact name={t.service.wanted}>
          <ReplicaCount service={service} />
        </Fact>
      </dl>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div style={{ minWidth: 0 }}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
