/** Tokens and named clients of a service. */

import { infiniteQueryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type Token = Schemas["TokenView"];
export type NewToken = Schemas["NewToken"];

export const tokensQuery = (service: string) =>
  infiniteQueryOptions({
    queryKey: ["access", "tokens", service],
    queryFn: ({ signal, pageParam: cursor }) =>
      answered(
        api.GET("/v1/services/{service}/tokens", {
          signal,
          params: { path: { service }, query: { limit: 100, cursor } as never },
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });

export const tokenActions = {
  create: (service: string, body: { name: string; expires_in_s: number | null }) =>
    answered(
      api.POST("/v1/services/{service}/tokens", {
        params: { path: { service } },
        body: body as Schemas["CreateToken"],
      }),
    ),
  revoke: (service: string, token_id: string) =>
    answered(api.DELETE("/v1/services/{service}/tokens/{token_id}", { params: { path: { service, token_id } } })),
};
