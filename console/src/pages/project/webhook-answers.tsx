/** What a webhook's receiver answered lately. */

import { useQuery } from "@tanstack/react-query";
import { webhookQuery } from "@/api/webhooks";
import { useT } from "@/i18n";
import { duration } from "@/i18n/format";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Dialog } from "@/ui/dialog";
import { Table } from "@/ui/table";

type Props = { project: string; webhook: string; onClose: () => void };

export function WebhookAnswers({ project, webhook, onClose }: Props) {
  const t = useT();
  const { data, error } = useQuery(webhookQuery(project, webhook));
  return (
    <Dialog
      title={`${t.webhooks.answers}: ${webhook}`}
      onClose={onClose}
      actions={<Button onPress={onClose}>{t.common.close}</Button>}
    >
      {error && <ProblemCard error={error} />}
      {!data && !error && <Skeleton />}
      {data?.answers.length === 0 && <Empty title={t.webhooks.noAnswers} />}
      {data && data.answers.length > 0 && (
        <div style={{ overflowX: "auto" }}>
          <Table
            label={t.webhooks.answers}
            rows={data.answers}
            rowKey={(one) => `${one.event_id} ${one.at}`}
            columns={[
              { id: "at", title: t.webhooks.at, cell: (one) => <Ago at={one.at} /> },
              { id: "event", title: t.webhooks.event, cell: (one) => one.action },
              {
                id: "answer",
                title: t.webhooks.answer,
                kind: "wrap",
                cell: (one) => one.error ?? one.status ?? t.common.none,
              },
              { id: "took", title: t.webhooks.took, kind: "number", cell: (one) => duration(one.took_ms / 1000) },
            ]}
          />
        </div>
      )}
    </Dialog>
  );
}
