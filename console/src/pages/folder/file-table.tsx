/** Files and directories of one directory. */

import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { type FolderFile, fileUrl, folderActions } from "@/api/folders";
import { useT } from "@/i18n";
import { disk } from "@/i18n/format";
import { Ago } from "@/ui/ago";
import { Confirm } from "@/ui/dialog";
import { MoreIcon } from "@/ui/icons";
import { Menu } from "@/ui/menu";
import { Table } from "@/ui/table";

type Props = { folder: string; files: readonly FolderFile[]; mayChange: boolean };

export function FileTable({ folder, files, mayChange }: Props) {
  const t = useT();
  const queries = useQueryClient();
  const [deleting, setDeleting] = useState<string | null>(null);
  return (
    <>
      <Table
        label={t.folders.files}
        rows={files}
        rowKey={(file) => file.path}
        columns={[
          { id: "name", title: t.services.name, cell: (file) => <FileName folder={folder} file={file} /> },
          {
            id: "size",
            title: t.folders.size,
            kind: "number",
            cell: (file) => (file.kind === "file" ? disk(file.size_bytes) : t.common.none),
          },
          { id: "modified", title: t.services.updated, kind: "number", cell: (file) => <Ago at={file.modified_at} /> },
          {
            id: "actions",
            title: "",
            kind: "number",
            cell: (file) =>
              mayChange && (
                <Menu
                  label={`${t.common.more}: ${file.path}`}
                  icon={<MoreIcon />}
                  actions={[
                    { id: "delete", label: t.service.delete, onAction: () => setDeleting(file.path), danger: true },
                  ]}
                />
              ),
          },
        ]}
      />
      {deleting !== null && (
        <Confirm
          title={t.service.deleteTitle(deleting)}
          text={t.folders.deleteFileText}
          verb={t.service.delete}
          onConfirm={() =>
            folderActions
              .removeFile(folder, deleting)
              .then(() => queries.invalidateQueries({ queryKey: ["folders", "files", folder] }))
          }
          onClose={() => setDeleting(null)}
        />
      )}
    </>
  );
}

function FileName({ folder, file }: { folder: string; file: FolderFile }) {
  const name = file.path.split("/").at(-1) ?? file.path;
  if (file.kind === "directory")
    return (
      <Link to="/folders/$folder" params={{ folder }} search={{ path: file.path }}>
        <strong>{name}/</strong>
      </Link>
    );
  if (file.kind !== "file") return <span title={file.kind}>{name}</span>;
  return (
    <a href={fileUrl(folder, file.path)} download={name}>
      {name}
    </a>
  );
}
