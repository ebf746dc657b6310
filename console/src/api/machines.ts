/** Machines (agents), with their GPUs and what they run; drains; join tokens; the parts of the installation. */

import { queryOptions } from "@tanstack/react-query";
import { ApiProblem, answered, api, type Schemas } from "@/api/client";
import { paged } from "@/api/paged";

export type Machine = Schemas["AgentView"];
export type MachineDetail = Schemas["AgentDetail"];
export type Drain = Schemas["AgentDrainView"];
export type JoinToken = Schemas["NewJoinToken"];
export type Part = Schemas["PartView"];

export const machinesQuery = paged(["machines", "list"], (cursor, signal) =>
  answered(api.GET("/v1/agents", { signal, params: { query: { limit: 100, cursor } as never } })),
);

export const machineQuery = (agent: string) =>
  queryOptions({
    queryKey: ["machines", "one", agent],
    queryFn: ({ signal }) => answered(api.GET("/v1/agents/{agent}", { signal, ...at(agent) })),
  });

/** The newest drain of a machine; null where there was none. */
export const drainQuery = (agent: string) =>
  queryOptions({
    queryKey: ["machines", "drain", agent],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/agents/{agent}/drain", { signal, ...at(agent) })).catch((error: unknown) => {
        if (error instanceof ApiProblem && error.status === 404) return null;
        throw error;
      }),
  });

/** Managers, app-proxies, autoscalers and stores, with their versions and what is wrong with them. */
export const statusQuery = queryOptions({
  queryKey: ["status"],
  queryFn: ({ signal }) => answered(api.GET("/v1/status", { signal })),
});

export const machineActions = {
  drain: (agent: string, message: string) =>
    answered(api.POST("/v1/agents/{agent}/drain", { ...at(agent), body: { message } })),
  cordon: (agent: string, reason: string) =>
    answered(api.PUT("/v1/agents/{agent}/cordon", { ...at(agent), body: { reason } })),
  uncordon: (agent: string) => answered(api.DELETE("/v1/agents/{agent}/cordon", at(agent))),
  setGroup: (agent: string, resource_group: string) =>
    answered(api.PATCH("/v1/agents/{agent}", { ...at(agent), body: { resource_group } as Schemas["UpdateAgent"] })),
  setLabels: (agent: string, labels: Record<string, string | null>) =>
    answered(api.PATCH("/v1/agents/{agent}/labels", { ...at(agent), body: { labels } })),
  remove: (agent: string) => answered(api.DELETE("/v1/agents/{agent}", at(agent))),
  createJoinToken: (body: { resource_group: string; uses: number; ttl_s: number; form: "wheels" | "docker" }) =>
    answered(api.POST("/v1/join-tokens", { body: { ...body, kind: "agent" } as Schemas["CreateJoinToken"] })),
};

const at = (agent: string) => ({ params: { path: { agent } } });
