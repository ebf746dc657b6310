/** English texts of the palette and the list of keys. */

export const palette = {
  open: "Search and commands (Ctrl K)",
  title: "Go to a page or thing",
  page: "Page",
  action: "Action",
  kinds: { service: "Service", folder: "Folder", project: "Project", machine: "Machine", user: "User" },
  nothing: "Nothing is called so.",
  keys: "Keys",
  make: "New thing of the page",
  rows: "Next row, row before, open it",
  single: "Single letters are keys",
};
