/** Names that a field offers: folders, resource presets, and secrets of the project. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { foldersQuery } from "@/api/folders";
import { presetsQuery } from "@/api/presets";
import { secretsQuery } from "@/api/secrets";
import type { Field } from "@/pages/service/settings/fields";

export function useOffers(what: Field["offers"], project: string): readonly string[] {
  const folders = useInfiniteQuery({ ...foldersQuery(project), enabled: what === "folders" });
  const sizes = useQuery({ ...presetsQuery(project), enabled: what === "sizes" });
  const secrets = useInfiniteQuery({ ...secretsQuery(project), enabled: what === "secrets" });
  const found = {
    folders: folders.data?.pages.flatMap((page) => page.items),
    sizes: sizes.data?.items,
    secrets: secrets.data?.pages.flatMap((page) => page.items),
  };
  return (what && found[what]?.map(({ name }) => name)) ?? [];
}
