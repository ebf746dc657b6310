/** Machines (agents), with their GPUs and what they run. */

import { infiniteQueryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type Machine = Schemas["AgentView"];

export const machinesQuery = infiniteQueryOptions({
  queryKey: ["machines", "list"],
  queryFn: ({ signal, pageParam: cursor }) =>
    answered(api.GET("/v1/agents", { signal, params: { query: { limit: 100, cursor } as never } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next,
});
