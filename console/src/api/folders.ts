/** Folders: list, files, uploads that were broken off. */

import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "@/api/client";

export type Folder = Schemas["FolderView"];
export type FolderFile = Schemas["FileView"];
export type UsageMode = Folder["usage_mode"];

const PAGE = 100;

export const foldersQuery = (project?: string) =>
  infiniteQueryOptions({
    queryKey: ["folders", "list", project ?? null],
    queryFn: ({ signal, pageParam: cursor }) =>
      answered(api.GET("/v1/folders", { signal, params: { query: { project, limit: PAGE, cursor } as never } })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });

export const folderQuery = (folder: string) =>
  queryOptions({
    queryKey: ["folders", "one", folder],
    queryFn: ({ signal }) => answered(api.GET("/v1/folders/{folder}", { signal, params: { path: { folder } } })),
  });

/** Entries of one directory. */
export const filesQuery = (folder: string, path: string) =>
  infiniteQueryOptions({
    queryKey: ["folders", "files", folder, path],
    queryFn: ({ signal, pageParam: cursor }) =>
      answered(
        api.GET("/v1/folders/{folder}/files", {
          signal,
          params: { path: { folder }, query: { path, limit: PAGE, cursor } as never },
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    placeholderData: keepPreviousData,
  });

export const folderActions = {
  create: (body: { name: string; project: string | null; usage_mode: UsageMode }) =>
    answered(api.POST("/v1/folders", { body })),
  remove: (folder: string) => answered(api.DELETE("/v1/folders/{folder}", { params: { path: { folder } } })),
  removeFile: (folder: string, path: string) =>
    answered(api.DELETE("/v1/folders/{folder}/files/{path}", { params: { path: { folder, path } } })),
};

/** Address from which a browser downloads a file. */
export const fileUrl = (folder: string, path: string) =>
  `/v1/folders/${encodeURIComponent(folder)}/files/${path.split("/").map(encodeURIComponent).join("/")}`;

/** Address from which a browser downloads a directory as a tar archive. */
export const archiveUrl = (folder: string, path: string) =>
  `/v1/folders/${encodeURIComponent(folder)}/archive?${new URLSearchParams({ path })}`;

/** Address of the resumable uploads (tus). */
export const uploadsUrl = (folder: string) => `/v1/folders/${encodeURIComponent(folder)}/uploads`;

/** Uploads of the folder that were broken off, of which some can be continued here. */
export const brokenOffUploads = (folder: string) =>
  answered(api.GET("/v1/folders/{folder}/uploads", { params: { path: { folder }, query: { limit: 500 } as never } }));
