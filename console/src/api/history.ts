/** Revisions and changes of a service. */

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type Revision = Schemas["RevisionView"];
export type HistoryEntry = Schemas["HistoryEntry"];

const PAGE = 50;

export const revisionsQuery = (service: string) =>
  infiniteQueryOptions({
    queryKey: ["services", "revisions", service],
    queryFn: ({ signal, pageParam }) =>
      answered(
        api.GET("/v1/services/{service}/revisions", {
          signal,
          params: { path: { service }, query: { limit: PAGE, cursor: pageParam === null ? null : Number(pageParam) } },
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });

export const historyQuery = (service: string) =>
  infiniteQueryOptions({
    queryKey: ["services", "history", service],
    queryFn: ({ signal, pageParam: cursor }) =>
      answered(
        api.GET("/v1/services/{service}/history", {
          signal,
          params: { path: { service }, query: { limit: PAGE, cursor } },
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });

/** A revision with its effective values and where each comes from. */
export const revisionQuery = (service: string, revision: number) =>
  queryOptions({
    queryKey: ["services", "revision", service, revision],
    queryFn: ({ signal }) =>
      answered(
        api.GET("/v1/services/{service}/revisions/{revision}", { signal, params: { path: { service, revision } } }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** What became of the requests of the replicas that a revision replaced. */
export const receiptQuery = (service: string, revision: number) =>
  queryOptions({
    queryKey: ["services", "receipt", service, revision],
    queryFn: ({ signal }) =>
      answered(
        api.GET("/v1/services/{service}/revisions/{revision}/receipt", {
          signal,
          params: { path: { service, revision } },
        }),
      ),
  });
