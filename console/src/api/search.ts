/** Search over services, folders, projects, machines and users. */

import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type SearchHit = Schemas["SearchHit"];

export const searchQuery = (q: string) =>
  queryOptions({
    queryKey: ["search", q],
    queryFn: ({ signal }) => answered(api.GET("/v1/search", { signal, params: { query: { q, limit: 8 } } })),
    placeholderData: keepPreviousData,
    enabled: q !== "",
  });
