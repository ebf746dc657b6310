/** Users, their API keys, logins and passwords. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";
import { paged } from "@/api/paged";

export type User = Schemas["UserView"];
export type Key = Schemas["KeyView"];
export type NewKey = Schemas["NewKey"];
export type Login = Schemas["LoginView"];
export type KeyBody = { name: string; expires_in_s: number | null; read_only: boolean; projects: string[] | null };

const PAGE = 100;

export const usersQuery = paged(["users", "list"], (cursor, signal) =>
  answered(api.GET("/v1/users", { signal, params: { query: { limit: PAGE, cursor } as never } })),
);

export const keysQuery = (user: string) =>
  paged(["users", "keys", user], (cursor, signal) =>
    answered(
      api.GET("/v1/users/{user}/keys", {
        signal,
        params: { path: { user }, query: { limit: PAGE, cursor } as never },
      }),
    ),
  );

export const loginsQuery = (user: string) =>
  paged(["users", "logins", user], (cursor, signal) =>
    answered(
      api.GET("/v1/users/{user}/logins", {
        signal,
        params: { path: { user }, query: { limit: PAGE, cursor } as never },
      }),
    ),
  );

export const userQuery = (user: string) =>
  queryOptions({
    queryKey: ["users", "one", user],
    queryFn: ({ signal }) => answered(api.GET("/v1/users/{user}", { signal, ...at(user) })),
  });

export const userActions = {
  create: (body: { name: string; operator: boolean }) => answered(api.POST("/v1/users", { body })),
  change: (user: string, body: Partial<Schemas["UpdateUser"]>) =>
    answered(api.PATCH("/v1/users/{user}", { ...at(user), body: body as Schemas["UpdateUser"] })),
  createKey: (user: string, body: KeyBody) =>
    answered(api.POST("/v1/users/{user}/keys", { ...at(user), body: body as Schemas["CreateKey"] })),
  deleteKey: (user: string, key_id: string) =>
    answered(api.DELETE("/v1/users/{user}/keys/{key_id}", { params: { path: { user, key_id } } })),
  endLogin: (user: string, login_id: string) =>
    answered(api.DELETE("/v1/users/{user}/logins/{login_id}", { params: { path: { user, login_id } } })),
  /** `password` null takes it away. */
  setPassword: (user: string, password: string | null, current: string | null) =>
    answered(api.PUT("/v1/users/{user}/password", { ...at(user), body: { password, current } })),
};

const at = (user: string) => ({ params: { path: { user } } });
