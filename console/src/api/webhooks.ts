/** Webhooks of a project: where its events are sent, and what the receivers answered. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";
import { paged } from "@/api/paged";

export type Webhook = Schemas["WebhookView"];
export type NewWebhook = { name: string; url: string; secret: string; kinds: string[] };

export const webhooksQuery = (project: string) =>
  paged(["webhooks", "list", project], (cursor, signal) =>
    answered(
      api.GET("/v1/projects/{project}/webhooks", {
        signal,
        params: { path: { project }, query: { limit: 100, cursor } as never },
      }),
    ),
  );

export const webhookQuery = (project: string, webhook: string) =>
  queryOptions({
    queryKey: ["webhooks", "one", project, webhook],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/projects/{project}/webhooks/{webhook}", { signal, ...at(project, webhook) })),
  });

export const webhookActions = {
  create: (project: string, body: NewWebhook) =>
    answered(
      api.POST("/v1/projects/{project}/webhooks", {
        params: { path: { project } },
        body: body as Schemas["CreateWebhook"],
      }),
    ),
  change: (project: string, webhook: string, body: Partial<Schemas["UpdateWebhook"]>) =>
    answered(
      api.PATCH("/v1/projects/{project}/webhooks/{webhook}", {
        ...at(project, webhook),
        body: body as Schemas["UpdateWebhook"],
      }),
    ),
  test: (project: string, webhook: string) =>
    answered(api.POST("/v1/projects/{project}/webhooks/{webhook}/test", at(project, webhook))),
  remove: (project: string, webhook: string) =>
    answered(api.DELETE("/v1/projects/{project}/webhooks/{webhook}", at(project, webhook))),
};

const at = (project: string, webhook: string) => ({ params: { path: { project, webhook } } });
