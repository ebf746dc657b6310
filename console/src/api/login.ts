/** Login of the person who uses the console. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type CurrentLogin = Schemas["CurrentLogin"];
export type Credential = { key: string } | { user: string; password: string } | { code: string };

export const loginQuery = queryOptions({
  queryKey: ["login"],
  queryFn: ({ signal }) => answered(api.GET("/v1/login", { signal })),
  staleTime: 60_000,
});

/** Log in; the browser gets a cookie that no script can read. */
export async function logIn(credential: Credential): Promise<void> {
  const nothing = { key: null, user: null, password: null, code: null, token: false };
  await answered(api.POST("/v1/login", { body: { ...nothing, ...credential } }));
}

/** End the login, at once on every manager. */
export async function logOut(): Promise<void> {
  await answered(api.DELETE("/v1/login"));
}
