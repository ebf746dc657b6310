/** Projects: what they are, their members, and what they use of their quotas. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";
import { paged } from "@/api/paged";

export type Project = Schemas["ProjectView"];
export type Member = Schemas["MemberView"];
export type Role = Member["role"];
export type ProjectUsage = Schemas["Usage"];
export type Holder = Schemas["UsageHolder"];

const PAGE = 100;

export const projectsQuery = paged(["projects", "list"], (cursor, signal) =>
  answered(api.GET("/v1/projects", { signal, params: { query: { limit: PAGE, cursor } as never } })),
);

export const projectQuery = (project: string) =>
  queryOptions({
    queryKey: ["projects", "one", project],
    queryFn: ({ signal }) => answered(api.GET("/v1/projects/{project}", { signal, ...at(project) })),
  });

export const membersQuery = (project: string) =>
  paged(["projects", "members", project], (cursor, signal) =>
    answered(
      api.GET("/v1/projects/{project}/members", {
        signal,
        params: { path: { project }, query: { limit: PAGE, cursor } as never },
      }),
    ),
  );

/** What is used of each slot now, and by whom. */
export const projectUsageQuery = (project: string) =>
  queryOptions({
    queryKey: ["project-usage", project],
    queryFn: ({ signal }) => answered(api.GET("/v1/projects/{project}/usage", { signal, ...at(project) })),
  });

export const projectActions = {
  create: (body: { name: string; description: string }) =>
    answered(api.POST("/v1/projects", { body: body as Schemas["CreateProject"] })),
  /** `etag`: refused with 412 if the project has changed since. */
  change: (project: string, body: Partial<Schemas["UpdateProject"]>, etag?: string) =>
    answered(
      api.PATCH("/v1/projects/{project}", {
        params: { path: { project }, header: etag ? { "If-Match": `"${etag}"` } : {} },
        body: body as Schemas["UpdateProject"],
      }),
    ),
  remove: (project: string) => answered(api.DELETE("/v1/projects/{project}", at(project))),
  setMember: (project: string, user: string, role: Role) =>
    answered(api.PUT("/v1/projects/{project}/members/{user}", { params: { path: { project, user } }, body: { role } })),
  removeMember: (project: string, user: string) =>
    answered(api.DELETE("/v1/projects/{project}/members/{user}", { params: { path: { project, user } } })),
};

const at = (project: string) => ({ params: { path: { project } } });
