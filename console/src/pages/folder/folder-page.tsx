/** A folder: its directories and files; what is dropped on it is uploaded. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type DragEvent, useState } from "react";
import { archiveUrl, filesQuery, folderActions } from "@/api/folders";
import { useMayChangeAny } from "@/app/rights";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import type { UploadFile } from "@/lib/upload-queue";
import { FileTable } from "@/pages/folder/file-table";
import { ChooseButtons, Uploads, useUploads } from "@/pages/folder/uploads";
import { Button, buttonClass } from "@/ui/button";
import { Card, Empty, ProblemCard, Skeleton } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { MoreIcon } from "@/ui/icons";
import { Menu } from "@/ui/menu";
import { PageHead } from "@/ui/page-head";
import { droppedFiles } from "@/upload/dropped";
import styles from "./folder-page.module.css";

/** Another folder is another page: what is being uploaded goes into its own. */
export function FolderPage() {
  const { folder } = useParams({ from: "/folders/$folder" });
  return <Folder key={folder} folder={folder} />;
}

function Folder({ folder }: { folder: string }) {
  const t = useT();
  const { path = "" } = useSearch({ from: "/folders/$folder" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const mayChange = useMayChangeAny();
  const [deleting, setDeleting] = useState(false);
  const found = useInfiniteQuery(filesQuery(folder, path));
  const uploads = useUploads(folder, () => void queries.invalidateQueries({ queryKey: ["folders", "files", folder] }));
  const files = found.data?.pages.flatMap((page) => page.items);
  const add = (chosen: readonly UploadFile[]) =>
    uploads.add(chosen.map((one) => ({ ...one, path: path ? `${path}/${one.path}` : one.path })));
  return (
    <Page>
      <PageHead title={folder}>
        {mayChange && (
          <Link to="/services/new" search={{ folder }} className={buttonClass("primary")}>
            {t.folders.run}
          </Link>
        )}
        {mayChange && (
          <Menu
            label={t.common.more}
            icon={<MoreIcon />}
            actions={[{ id: "delete", label: t.service.delete, onAction: () => setDeleting(true), danger: true }]}
          />
        )}
      </PageHead>
      <Uploads uploads={uploads} />
      <DropZone disabled={!mayChange} onFiles={add}>
        <Card
          flush
          title={<Crumbs folder={folder} path={path} />}
          actions={
            <>
              {mayChange && <ChooseButtons onFiles={add} />}
              <a className={buttonClass("plain", true)} href={archiveUrl(folder, path)} download>
                {t.folders.download}
              </a>
            </>
          }
        >
          {found.error && <ProblemCard error={found.error} onRetry={() => void found.refetch()} />}
          {!files && !found.error && <Skeleton lines={5} />}
          {files?.length === 0 && (
            <Empty title={t.folders.noFiles} action={mayChange && <ChooseButtons onFiles={add} />}>
              {mayChange && t.folders.dropHelp}
            </Empty>
          )}
          {files && files.length > 0 && <FileTable folder={folder} files={files} mayChange={mayChange} />}
          {found.hasNextPage && (
            <div style={{ padding: 12 }}>
              <Button onPress={() => void found.fetchNextPage()}>{t.common.more}</Button>
            </div>
          )}
        </Card>
      </DropZone>
      {deleting && (
        <Confirm
          title={t.service.deleteTitle(folder)}
          text={t.folders.deleteText}
          verb={t.service.delete}
          name={folder}
          onConfirm={() => folderActions.remove(folder).then(() => navigate({ to: "/folders" }))}
          onClose={() => setDeleting(false)}
        />
      )}
    </Page>
  );
}

function Crumbs({ folder, path }: { folder: string; path: string }) {
  const names = path ? path.split("/") : [];
  return (
    <span className={styles.crumbs}>
      <Link to="/folders/$folder" params={{ folder }} search={{}}>
        {folder}
      </Link>
      {names.map((name, index) => {
        const below = names.slice(0, index + 1).join("/");
        return (
          <span key={below}>
            {"/ "}
            <Link to="/folders/$folder" params={{ folder }} search={{ path: below }}>
              {name}
            </Link>
          </span>
        );
      })}
    </span>
  );
}

function DropZone({
  disabled,
  onFiles,
  children,
}: {
  disabled: boolean;
  onFiles: (files: readonly UploadFile[]) => void;
  children: React.ReactNode;
}) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void droppedFiles(event.dataTransfer).then(onFiles);
  };
  if (disabled) return children;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: what is dropped can be chosen by the buttons as well
    <div
      className={`${styles.drop} ${over ? styles.over : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      {children}
    </div>
  );
}
