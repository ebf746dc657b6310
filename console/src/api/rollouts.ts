/** Rollout of a service: where it is, and what it is told. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type RolloutView = Schemas["RolloutView"];

export const rolloutQuery = (service: string) =>
  queryOptions({
    queryKey: ["services", "rollout", service],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/services/{service}/rollout", { signal, params: { path: { service } } })),
  });

export const rolloutActions = {
  pause: (service: string) => answered(api.POST("/v1/services/{service}/rollout/pause", at(service))),
  resume: (service: string) => answered(api.POST("/v1/services/{service}/rollout/resume", of(service))),
  promote: (service: string) =>
    answered(api.POST("/v1/services/{service}/rollout/promote", { ...at(service), body: {} as Schemas["Promote"] })),
  abort: (service: string) => answered(api.POST("/v1/services/{service}/rollout/abort", at(service))),
};

const at = (service: string) => ({ params: { path: { service } }, body: { message: "" } });

const of = (service: string) => ({ params: { path: { service } } });
