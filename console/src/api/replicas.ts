/** One replica of a service, also one that ended; its weight, its replacement, the end of its log. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, lines } from "@/api/client";
import { logsUrl } from "@/api/logs";

const LOG_LINES = 20;

export const replicaQuery = (service: string, replica: string) =>
  queryOptions({
    queryKey: ["services", "replica", service, replica],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/services/{service}/replicas/{replica}", { signal, ...at(service, replica) })),
  });

/** The last lines of its log. */
export const lastLinesQuery = (service: string, replica: string) =>
  queryOptions({
    queryKey: ["logs", service, replica, LOG_LINES],
    queryFn: async ({ signal }) => {
      const found: string[] = [];
      for await (const part of lines(logsUrl(service, { replica, tail: LOG_LINES }), signal)) found.push(...part);
      return found.join("\n").trimEnd();
    },
  });

export const replicaActions = {
  replace: (service: string, replica: string) =>
    answered(
      api.POST("/v1/services/{service}/replicas/{replica}/replace", {
        ...at(service, replica),
        body: { message: "" },
      }),
    ),
  weigh: (service: string, replica: string, weight: number) =>
    answered(
      api.PUT("/v1/services/{service}/replicas/{replica}/weight", { ...at(service, replica), body: { weight } }),
    ),
};

const at = (service: string, replica: string) => ({ params: { path: { service, replica } } });
