/** Resource presets: the sizes that services may name. */

import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type Preset = Schemas["ResourcePresetView"];

/** Presets that services of the project may name, the first 500. */
export const presetsQuery = (project: string) =>
  queryOptions({
    queryKey: ["presets", project],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/resource-presets", { signal, params: { query: { project, limit: 500 } as never } })),
  });
