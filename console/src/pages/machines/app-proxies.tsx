/** App-proxies, which callers' requests go through: status, version, and what they say of themselves. */

import { useQuery } from "@tanstack/react-query";
import { statusQuery } from "@/api/machines";
import { useT } from "@/i18n";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { PartsTable } from "@/ui/parts-table";

const READ_AGAIN_MS = 10_000;

export function AppProxies() {
  const t = useT();
  const { data, error, refetch } = useQuery({ ...statusQuery, refetchInterval: READ_AGAIN_MS });
  const proxies = data?.parts.filter((part) => part.kind === "app-proxy");
  return (
    <Card flush>
      {error && <ProblemCard error={error} onRetry={() => void refetch()} />}
      {!proxies && !error && <Skeleton />}
      {proxies?.length === 0 && <Empty title={t.machines.noProxies} />}
      {proxies && proxies.length > 0 && <PartsTable label={t.machines.proxies} parts={proxies} />}
    </Card>
  );
}
