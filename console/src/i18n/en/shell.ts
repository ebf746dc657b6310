/** English texts of what all pages have. */

export const rail = {
  label: "Pages",
  services: "Services",
  chat: "Chat",
  folders: "Folders",
  machines: "Machines",
  projects: "Projects",
  users: "Users",
  audit: "Audit",
};

export const top = {
  menu: "Menu",
  logOut: "Log out",
  theme: { label: "Theme", system: "As the system", light: "Light", dark: "Dark" },
  language: "Language",
  asBrowser: "As the browser",
  density: { label: "Rows", normal: "Normal", compact: "Compact" },
  zone: { label: "Times", local: "Local", utc: "UTC" },
};

export const live = {
  live: "Live",
  polling: "Not live",
  pollingWhy: (why: string) => `Read every 10 s: ${why}`,
  away: "The manager does not answer",
  closed: "the stream of changes is closed",
  silent: "nothing was heard for 40 s",
  updated: "Headrace was updated.",
  reload: "Reload",
};

export const error = {
  network: "The manager could not be reached",
  networkDetail: "There was no answer. What is shown may be old; this is tried again.",
  title: "This could not be read",
  retry: "Try again",
  request: "Request",
  found: "found",
  allowed: "allowed",
  notFound: "There is nothing here",
  notFoundDetail: "It was deleted, or you may not see it.",
  page: "This page does not exist",
  broken: "This page has a fault",
  home: "To the services",
};

export const common = {
  copy: "Copy",
  copied: "Copied",
  cancel: "Cancel",
  close: "Close",
  loading: "Loading",
  none: "–",
  all: "All",
  more: "More",
  clear: "Clear filters",
  search: "Search",
  command: "Copy as command",
  typeName: (name: string) => `Type ${name} to confirm`,
  why: "Why",
};

export const status = { healthy: "Healthy", degraded: "Degraded", unhealthy: "Unhealthy" };

export const phase = {
  deploying: "Deploying",
  deployed: "Deployed",
  stopping: "Stopping",
  stopped: "Stopped",
  failed: "Failed",
};

export const units = { ago: (age: string) => `${age} ago`, in: (age: string) => `in ${age}`, now: "now" };
