/** Metrics of services: their history, and what they are now. */

import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";
import { serverNow } from "@/lib/clock";
import { type Interval, RANGES } from "@/lib/traffic";

export type MetricHistory = Schemas["MetricHistory"];
export type MetricSeries = Schemas["MetricSeries"];
export type MetricsBy = MetricHistory["by"];
export type MetricsNow = Schemas["MetricsNow"];

const NOW_EVERY_MS = 10_000;

/** Series of a service in an interval; one that ends now is read again as it goes on, while the page is visible. */
export const metricHistoryQuery = (service: string, by: MetricsBy, interval: Interval) =>
  queryOptions({
    queryKey: ["metrics", "history", service, by, interval],
    queryFn: ({ signal }) => {
      const query =
        "range" in interval
          ? { by, from: new Date(serverNow() - RANGES[interval.range].seconds * 1000).toISOString() }
          : { by, from: interval.from, to: interval.to };
      return answered(api.GET("/v1/services/{service}/metrics", { signal, params: { path: { service }, query } }));
    },
    placeholderData: (before, previous) => (previous?.queryKey[2] === service ? before : undefined),
    ...("range" in interval ? { refetchInterval: RANGES[interval.range].everyMs } : {}),
  });

/** Traffic of all services in the last minute. */
export const metricsNowQuery = (project: string | undefined) =>
  queryOptions({
    queryKey: ["metrics", "now", project],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/metrics/now", { signal, params: { query: project ? { project } : {} } })),
    placeholderData: keepPreviousData,
    refetchInterval: NOW_EVERY_MS,
  });
