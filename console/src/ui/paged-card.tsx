/** A list of the API in a card: its rows and more of them, and what stands there before, without or instead of them. */

import type { ReactNode } from "react";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { Card, ProblemCard, Skeleton } from "@/ui/card";
import { type Column, Table } from "@/ui/table";

type Found<R> = {
  data?: { pages: readonly { items: readonly R[] }[] } | undefined;
  error: Error | null;
  hasNextPage: boolean;
  fetchNextPage: () => unknown;
  refetch: () => unknown;
};
type Props<R> = {
  label: string;
  found: Found<R>;
  columns: readonly Column<R>[];
  rowKey: (row: R) => string;
  empty: ReactNode;
  title?: string;
  actions?: ReactNode;
};

export function PagedCard<R>({ label, found, columns, rowKey, empty, title, actions }: Props<R>) {
  const t = useT();
  const rows = found.data?.pages.flatMap((page) => page.items);
  return (
    <Card flush {...(title === undefined ? {} : { title })} actions={actions}>
      {found.error && <ProblemCard error={found.error} onRetry={() => void found.refetch()} />}
      {!rows && !found.error && <Skeleton lines={4} />}
      {rows?.length === 0 && empty}
      {rows && rows.length > 0 && <Table label={label} columns={columns} rows={rows} rowKey={rowKey} />}
      {found.hasNextPage && (
        <div style={{ padding: 12 }}>
          <Button onPress={() => void found.fetchNextPage()}>{t.common.more}</Button>
        </div>
      )}
    </Card>
  );
}
