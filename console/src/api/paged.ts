/** Pages of a list of the API, one after the other. */

import { infiniteQueryOptions, keepPreviousData } from "@tanstack/react-query";

type Page<R> = { items: R[]; next?: string | null };

/** The query of a list; `read` asks for the page at a cursor. */
export const paged = <R>(
  queryKey: readonly unknown[],
  read: (cursor: string | null, signal: AbortSignal) => Promise<Page<R>>,
) =>
  infiniteQueryOptions({
    queryKey,
    queryFn: ({ signal, pageParam }) => read(pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });
