/** List of services, filtered, sorted and counted by the server. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { metricsNowQuery } from "@/api/metrics";
import { type ServiceFilter, servicesQuery } from "@/api/services";
import { useMayChangeAny } from "@/app/rights";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { isFiltered } from "@/pages/services/search";
import { ServiceFilters } from "@/pages/services/service-filters";
import { ServiceRows } from "@/pages/services/service-rows";
import { Button, buttonClass } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import styles from "./services-page.module.css";

export function ServicesPage() {
  const t = useT();
  const filter = useSearch({ from: "/services" });
  const navigate = useNavigate();
  const mayChange = useMayChangeAny();
  const change = (changed: Partial<ServiceFilter>) =>
    void navigate({ to: "/services", search: { ...filter, ...changed }, replace: true });
  const found = useInfiniteQuery(servicesQuery(filter));
  const { data: traffic } = useQuery(metricsNowQuery(filter.project));
  const total = found.data?.pages[0]?.total;
  return (
    <Page>
      <div className={styles.head}>
        <h1>{t.services.title}</h1>
        {total !== undefined && total !== null && <span className={styles.quiet}>{t.services.count(total)}</span>}
        {mayChange && (
          <Link to="/services/new" search={{}} className={buttonClass("primary")}>
            {t.services.new}
          </Link>
        )}
      </div>
      <ServiceFilters filter={filter} onChange={change} />
      {found.error && <ProblemCard error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && (
        <Card flush>
          <Skeleton lines={8} />
        </Card>
      )}
      {found.data && (
        <Card flush>
          {found.data.pages[0]?.items.length ? (
            <ServiceRows
              services={found.data.pages.flatMap((page) => page.items)}
              traffic={traffic}
              onEnd={() => found.hasNextPage && !found.isFetching && void found.fetchNextPage()}
            />
          ) : (
            <NoServices filtered={isFiltered(filter)} onClear={() => void navigate({ to: "/services", search: {} })} />
          )}
        </Card>
      )}
    </Page>
  );
}

function NoServices({ filtered, onClear }: { filtered: boolean; onClear: () => void }) {
  const t = useT();
  if (filtered)
    return <Empty title={t.services.filtered} action={<Button onPress={onClear}>{t.common.clear}</Button>} />;
  return (
    <Empty
      title={t.services.empty}
      action={
        <Link to="/services/new" search={{}} className={buttonClass("primary")}>
          {t.services.new}
        </Link>
      }
    >
      {t.services.emptyHelp}
    </Empty>
  );
}
