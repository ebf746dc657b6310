/** Secrets of a project: names, versions and who uses them. The API never returns a value. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";
import { paged } from "@/api/paged";

export type Secret = Schemas["SecretView"];

export const secretsQuery = (project: string) =>
  paged(["secrets", "list", project], (cursor, signal) =>
    answered(
      api.GET("/v1/projects/{project}/secrets", {
        signal,
        params: { path: { project }, query: { limit: 100, cursor } as never },
      }),
    ),
  );

/** A secret's versions, with the services that use each. */
export const secretQuery = (project: string, secret: string) =>
  queryOptions({
    queryKey: ["secrets", "one", project, secret],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/projects/{project}/secrets/{secret}", { signal, params: { path: { project, secret } } })),
  });

export const secretActions = {
  put: (project: string, secret: string, value: string) =>
    answered(
      api.PUT("/v1/projects/{project}/secrets/{secret}", { params: { path: { project, secret } }, body: { value } }),
    ),
  remove: (project: string, secret: string) =>
    answered(api.DELETE("/v1/projects/{project}/secrets/{secret}", { params: { path: { project, secret } } })),
};
