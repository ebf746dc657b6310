/** Cache of what was read, and what happens when a call fails. */

import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { ApiProblem } from "@/api/client";
import { setLiveState } from "@/app/live-state";
import { setLoginEnded } from "@/app/login-state";

const MOST_RETRIES = 3;

function failed(error: Error): void {
  if (!(error instanceof ApiProblem)) return;
  if (error.status === 401) setLoginEnded(true);
  if (error.status === 0 || error.status === 503) setLiveState({ kind: "polling", why: "away" });
}

export const queries = new QueryClient({
  queryCache: new QueryCache({ onError: failed }),
  mutationCache: new MutationCache({ onError: failed }),
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      gcTime: 300_000,
      retry: (count, error) =>
        count < MOST_RETRIES && error instanceof ApiProblem && (error.status === 0 || error.status >= 500),
    },
  },
});
