/** Services: list, counts, detail, changes. */

import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type Service = Schemas["ServiceView"];
export type ServiceDetail = Schemas["ServiceDetail"];
export type Replica = Schemas["ReplicaView"];
export type ServiceStatus = Service["status"];
export type ServicePhase = Service["phase"];
export type ServiceFilter = {
  project?: string | undefined;
  q?: string | undefined;
  status?: ServiceStatus | undefined;
  phase?: ServicePhase | undefined;
  runtime?: Service["runtime"] | undefined;
  tag?: string | undefined;
  folder?: string | undefined;
  owner?: string | undefined;
  agent?: string | undefined;
  mine?: boolean | undefined;
  sort?: "created" | "name" | "updated" | "replicas" | undefined;
  order?: "asc" | "desc" | undefined;
};

const PAGE = 100;

/** Pages of services; the server filters, sorts and counts. */
export const servicesQuery = (filter: ServiceFilter) =>
  infiniteQueryOptions({
    queryKey: ["services", "list", filter],
    queryFn: ({ signal, pageParam }) =>
      answered(
        api.GET("/v1/services", { signal, params: { query: { ...filter, limit: PAGE, cursor: pageParam } as never } }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });

export const serviceCountsQuery = (filter: ServiceFilter) =>
  queryOptions({
    queryKey: ["services", "counts", filter],
    queryFn: ({ signal }) => answered(api.GET("/v1/services/counts", { signal, params: { query: filter as never } })),
    placeholderData: keepPreviousData,
  });

export const serviceQuery = (service: string) =>
  queryOptions({
    queryKey: ["services", "one", service],
    queryFn: ({ signal }) => answered(api.GET("/v1/services/{service}", { signal, params: { path: { service } } })),
  });

/** Changes of a service; each answers what it is then. */
export const serviceActions = {
  start: (service: string) => answered(api.POST("/v1/services/{service}/start", at(service))),
  stop: (service: string) => answered(api.POST("/v1/services/{service}/stop", at(service))),
  restart: (service: string) => answered(api.POST("/v1/services/{service}/restart", at(service))),
  retry: (service: string) => answered(api.POST("/v1/services/{service}/retry", at(service))),
  remove: (service: string) => answered(api.DELETE("/v1/services/{service}", at(service))),
  /** With an `etag` it is refused (412) if somebody has changed the service since. */
  change: (service: string, body: Partial<Schemas["UpdateService"]>, etag?: string) =>
    answered(
      api.PATCH("/v1/services/{service}", {
        params: { path: { service }, ...(etag ? { header: { "If-Match": `"${etag}"` } } : {}) },
        body: body as Schemas["UpdateService"],
      }),
    ),
  rollBack: (service: string, body: Schemas["Rollback"]) =>
    answered(api.POST("/v1/services/{service}/rollback", { ...at(service), body })),
};

const at = (service: string) => ({ params: { path: { service } } });
