/** Files of what was dropped or chosen, directories with all that is below them. */

import { MOST_FILES, type UploadFile } from "@/lib/upload-queue";

/** Return the files that were dropped, each with its path. */
export async function droppedFiles(transfer: DataTransfer): Promise<UploadFile[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const found: UploadFile[] = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

/** Return the files that were chosen; of a directory without its own name, as of what is dropped in a folder's page. */
export function chosenFiles(files: FileList): UploadFile[] {
  return [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/** Return the files without a first directory that is common to all: a model's folder is uploaded as what is in it. */
export function withoutCommonDirectory(files: readonly UploadFile[]): UploadFile[] {
  const first = files[0]?.path.split("/")[0];
  const common = files.length > 0 && files.every(({ path }) => path.includes("/") && path.split("/")[0] === first);
  return common ? files.map(({ path, file }) => ({ path: path.slice(path.indexOf("/") + 1), file })) : [...files];
}

async function walk(entry: FileSystemEntry, above: string, found: UploadFile[]): Promise<void> {
  if (found.length >= MOST_FILES) return;
  const path = above ? `${above}/${entry.name}` : entry.name;
  if (entry.isFile) {
    found.push({
      path,
      file: await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)),
    });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return;
    for (const one of entries) await walk(one, path, found);
  }
}
