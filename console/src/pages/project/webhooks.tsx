/** Webhooks of a project: where its events go, whether they arrive, and what the receivers answered. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Webhook, webhookActions, webhooksQuery } from "@/api/webhooks";
import { type Messages, useT } from "@/i18n";
import { NewWebhook } from "@/pages/project/new-webhook";
import { WebhookAnswers } from "@/pages/project/webhook-answers";
import { Button } from "@/ui/button";
import { Empty, ProblemCard } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { MoreIcon } from "@/ui/icons";
import { Twofold } from "@/ui/layout";
import { Menu } from "@/ui/menu";
import { PagedCard } from "@/ui/paged-card";
import { Badge } from "@/ui/status";
import type { Column } from "@/ui/table";
import { toast } from "@/ui/toasts";

const LOOKS = { idle: "healthy", delivering: "deploying", failing: "failed", disabled: "stopped" } as const;

type Asked = { what: "answers" | "delete"; hook: Webhook };

export function WebhooksTab() {
  const t = useT();
  const { name } = useParams({ from: "/projects/$name" });
  const queries = useQueryClient();
  const found = useInfiniteQuery(webhooksQuery(name));
  const [making, setMaking] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const read = () => queries.invalidateQueries({ queryKey: ["webhooks"] });
  const run = (change: Promise<unknown>, done?: string) => {
    setError(null);
    void change.then(() => {
      if (done) toast(done);
      return read();
    }, setError);
  };
  const actionsOf = (hook: Webhook) => [
    { id: "answers", label: t.webhooks.answers, onAction: () => setAsked({ what: "answers", hook }) },
    {
      id: "test",
      label: t.webhooks.test,
      onAction: () => run(webhookActions.test(name, hook.name), t.webhooks.tested),
      disabled: !hook.enabled,
    },
    {
      id: "enabled",
      label: hook.enabled ? t.webhooks.disable : t.webhooks.enable,
      onAction: () => run(webhookActions.change(name, hook.name, { enabled: !hook.enabled })),
    },
    { id: "delete", label: t.service.delete, onAction: () => setAsked({ what: "delete", hook }), danger: true },
  ];
  return (
    <>
      {error && <ProblemCard error={error} />}
      <PagedCard
        label={t.projects.tabs.webhooks}
        title={t.projects.tabs.webhooks}
        actions={
          <Button small kind="primary" onPress={() => setMaking(true)}>
            {t.webhooks.new}
          </Button>
        }
        found={found}
        rowKey={(hook) => hook.id}
        empty={<Empty title={t.webhooks.empty}>{t.webhooks.emptyHelp}</Empty>}
        columns={[
          ...columnsOf(t),
          {
            id: "actions",
            title: "",
            kind: "number",
            cell: (hook) => (
              <Menu label={`${t.common.more}: ${hook.name}`} icon={<MoreIcon />} actions={actionsOf(hook)} />
            ),
          },
        ]}
      />
      {making && <NewWebhook project={name} onClose={() => setMaking(false)} onMade={() => void read()} />}
      {asked?.what === "answers" && (
        <WebhookAnswers project={name} webhook={asked.hook.name} onClose={() => setAsked(null)} />
      )}
      {asked?.what === "delete" && (
        <Confirm
          title={t.service.deleteTitle(asked.hook.name)}
          text={t.webhooks.deleteText}
          verb={t.service.delete}
          onConfirm={() => webhookActions.remove(name, asked.hook.name).then(read)}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}

function columnsOf(t: Messages): readonly Column<Webhook>[] {
  return [
    { id: "name", title: t.services.name, cell: (hook) => <Twofold first={hook.name} second={hook.url} /> },
    {
      id: "state",
      title: t.services.status,
      kind: "wrap",
      cell: (hook) => (
        <>
          <Badge look={LOOKS[hook.state]}>{t.webhooks.states[hook.state]}</Badge>
          {hook.problem && <p>{hook.problem}</p>}
        </>
      ),
    },
    { id: "kinds", title: t.webhooks.kinds, kind: "wrap", cell: (hook) => hook.kinds.join(", ") },
    { id: "delivered", title: t.webhooks.delivered, kind: "number", cell: (hook) => hook.delivered },
    { id: "queued", title: t.webhooks.queued, kind: "number", cell: (hook) => hook.queued },
  ];
}
