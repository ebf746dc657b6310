/** What a creation or a change would come to: values with where each is from, quota, problems. Nothing is changed. */

import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type Resolution = Schemas["ResolutionView"];
export type NewService = Partial<Schemas["CreateService"]> & { name: string };

export const resolutionQuery = (create: NewService) =>
  queryOptions({
    queryKey: ["resolution", create],
    queryFn: ({ signal }) => answered(api.POST("/v1/resolutions", { signal, body: { create } as never })),
    placeholderData: keepPreviousData,
    staleTime: 0,
    gcTime: 10_000,
  });

export type ServiceChange = Partial<Schemas["UpdateService"]>;

/** What a change of a service would come to. */
export const changeQuery = (service: string, update: ServiceChange) =>
  queryOptions({
    queryKey: ["resolution", service, update],
    queryFn: ({ signal }) => answered(api.POST("/v1/resolutions", { signal, body: { service, update } as never })),
    placeholderData: keepPreviousData,
    staleTime: 0,
    gcTime: 10_000,
  });

export const availableQuery = (name: string) =>
  queryOptions({
    queryKey: ["services", "available", name],
    queryFn: ({ signal }) => answered(api.GET("/v1/services/available", { signal, params: { query: { name } } })),
    placeholderData: keepPreviousData,
  });

export const createService = (body: NewService) =>
  answered(api.POST("/v1/services", { body: body as Schemas["CreateService"] }));
