/** What the palette finds: pages and actions by their names, things by the API's search. */

import type { SearchHit } from "@/api/search";

export type Entry = { id: string; name: string; about: string; to: string };

const PATHS: Record<SearchHit["kind"], string> = {
  service: "/services/",
  folder: "/folders/",
  project: "/projects/",
  machine: "/machines/",
  user: "/users/",
};

/** Return pages and actions whose name has every word that was typed. */
export function matching(entries: readonly Entry[], typed: string): Entry[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return entries.filter((entry) => words.every((word) => entry.name.toLowerCase().includes(word)));
}

/** Return a thing that was found as an entry. */
export function entryOf(hit: SearchHit, kinds: Record<SearchHit["kind"], string>): Entry {
  const about = [kinds[hit.kind], hit.project].filter(Boolean).join(" · ");
  const name = hit.kind === "machine" ? String(hit.id) : hit.name;
  return { id: `${hit.kind} ${hit.id}`, name: hit.name, about, to: PATHS[hit.kind] + encodeURIComponent(name) };
}
