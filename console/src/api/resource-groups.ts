/** Resource groups: named sets of machines, and the projects that may use them. */

import { answered, api, type Schemas } from "@/api/client";
import { paged } from "@/api/paged";

export type ResourceGroup = Schemas["ResourceGroupView"];

export const resourceGroupsQuery = paged(["resource-groups"], (cursor, signal) =>
  answered(api.GET("/v1/resource-groups", { signal, params: { query: { limit: 100, cursor } as never } })),
);
