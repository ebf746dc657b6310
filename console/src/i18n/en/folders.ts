/** English texts of the page: folders. */

import { n, one } from "@/i18n/en/numbers";

export const folders = {
  title: "Folders",
  new: "New folder",
  make: "Make folder",
  nameHelp: "Letters, digits, dots, hyphens and underscores",
  mode: "For",
  modes: { model: "Models", data: "Data", general: "General" },
  source: "Imported from",
  created: "Made",
  files: "Files",
  size: "Size",
  empty: "There is no folder yet.",
  emptyHelp: "A folder has a model's files and its two definition files. Services mount it.",
  noFiles: "Nothing is in here.",
  dropHelp: "Drop files or a directory here, or choose them. An upload that breaks goes on where it was.",
  run: "Run it",
  download: "Download",
  upload: "Upload",
  chooseFiles: "Add files",
  chooseDirectory: "Add a directory",
  pause: "Pause",
  resume: "Go on",
  sent: (done: number, all: number) => `${n.format(done)} of ${one(all, "file", "files")}`,
  deleteText: "All files in it go with it.",
  deleteFileText: "A directory goes with all that is in it.",
};
