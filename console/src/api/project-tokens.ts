/** Tokens of a project: each is good for all of its services. */

import type { NewToken } from "@/api/access";
import { answered, api, type Schemas } from "@/api/client";
import { paged } from "@/api/paged";

export const projectTokensQuery = (project: string) =>
  paged(["access", "project-tokens", project], (cursor, signal) =>
    answered(
      api.GET("/v1/projects/{project}/tokens", {
        signal,
        params: { path: { project }, query: { limit: 100, cursor } as never },
      }),
    ),
  );

export const projectTokenActions = {
  create: (project: string, body: { name: string; expires_in_s: number | null }): Promise<NewToken> =>
    answered(
      api.POST("/v1/projects/{project}/tokens", {
        params: { path: { project } },
        body: body as Schemas["CreateToken"],
      }),
    ),
  revoke: (project: string, token_id: string) =>
    answered(api.DELETE("/v1/projects/{project}/tokens/{token_id}", { params: { path: { project, token_id } } })),
};
