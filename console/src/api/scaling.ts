/** Autoscaling rules of a service with their last evaluation, and the changes of its number of replicas. */

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type Rule = Schemas["RuleView"];
export type RuleSpec = Schemas["RuleSpec"];
export type Decision = Schemas["ScaleDecisionView"];

const EVALUATED_EVERY_MS = 5_000;

/** The first 500 rules. No event tells of an evaluation: they are read again while the page is seen. */
export const rulesQuery = (service: string) =>
  queryOptions({
    queryKey: ["scaling", "rules", service],
    queryFn: ({ signal }) =>
      answered(
        api.GET("/v1/services/{service}/rules", {
          signal,
          params: { path: { service }, query: { limit: 500 } as never },
        }),
      ),
    refetchInterval: EVALUATED_EVERY_MS,
  });

export const decisionsQuery = (service: string) =>
  infiniteQueryOptions({
    queryKey: ["services", "decisions", service],
    queryFn: ({ signal, pageParam: cursor }) =>
      answered(
        api.GET("/v1/services/{service}/decisions", {
          signal,
          params: { path: { service }, query: { limit: 50, cursor } },
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });

export const ruleActions = {
  create: (service: string, body: RuleSpec) =>
    answered(api.POST("/v1/services/{service}/rules", { params: { path: { service } }, body })),
  change: (service: string, rule: Rule, body: Partial<Schemas["UpdateRule"]>) =>
    answered(
      api.PATCH("/v1/services/{service}/rules/{rule_id}", {
        ...at(service, rule),
        body: body as Schemas["UpdateRule"],
      }),
    ),
  remove: (service: string, rule: Rule) =>
    answered(api.DELETE("/v1/services/{service}/rules/{rule_id}", at(service, rule))),
};

const at = (service: string, { id, etag }: Rule) => ({
  params: { path: { service, rule_id: id }, header: { "If-Match": `"${etag}"` } },
});
