/** Addresses of the pages; a page's view is in its address. */

import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { NotFoundPage, PageFault } from "@/app/faults";
import { Shell } from "@/app/shell";
import { parseServiceSearch } from "@/pages/services/search";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFoundPage, errorComponent: PageFault });

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/services", search: {} });
  },
});

const services = createRoute({
  getParentRoute: () => root,
  path: "/services",
  validateSearch: parseServiceSearch,
  component: lazyRouteComponent(() => import("@/pages/services/services-page"), "ServicesPage"),
});

const service = createRoute({
  getParentRoute: () => root,
  path: "/services/$service",
  component: lazyRouteComponent(() => import("@/pages/service/service-page"), "ServicePage"),
});

const serviceOverview = createRoute({
  getParentRoute: () => service,
  path: "/",
  component: lazyRouteComponent(() => import("@/pages/service/overview"), "OverviewTab"),
});

const serviceLogs = createRoute({
  getParentRoute: () => service,
  path: "/logs",
  validateSearch: (search: Record<string, unknown>): { replica?: string } =>
    typeof search.replica === "string" ? { replica: search.replica } : {},
  component: lazyRouteComponent(() => import("@/pages/service/logs"), "LogsTab"),
});

const serviceHistory = createRoute({
  getParentRoute: () => service,
  path: "/history",
  component: lazyRouteComponent(() => import("@/pages/service/history"), "HistoryTab"),
});

const serviceAccess = createRoute({
  getParentRoute: () => service,
  path: "/access",
  component: lazyRouteComponent(() => import("@/pages/service/access"), "AccessTab"),
});

const newService = createRoute({
  getParentRoute: () => root,
  path: "/services/new",
  validateSearch: (search: Record<string, unknown>): { folder?: string } =>
    typeof search.folder === "string" ? { folder: search.folder } : {},
  component: lazyRouteComponent(() => import("@/pages/new-service/new-service-page"), "NewServicePage"),
});

const folders = createRoute({
  getParentRoute: () => root,
  path: "/folders",
  component: lazyRouteComponent(() => import("@/pages/folders/folders-page"), "FoldersPage"),
});

const folder = createRoute({
  getParentRoute: () => root,
  path: "/folders/$folder",
  validateSearch: (search: Record<string, unknown>): { path?: string } =>
    typeof search.path === "string" && search.path ? { path: search.path } : {},
  component: lazyRouteComponent(() => import("@/pages/folder/folder-page"), "FolderPage"),
});

const chat = createRoute({
  getParentRoute: () => root,
  path: "/chat",
  validateSearch: (search: Record<string, unknown>): { service?: string; model?: string } => ({
    ...(typeof search.service === "string" ? { service: search.service } : {}),
    ...(typeof search.model === "string" ? { model: search.model } : {}),
  }),
  component: lazyRouteComponent(() => import("@/pages/chat/chat-page"), "ChatPage"),
});

const machines = createRoute({
  getParentRoute: () => root,
  path: "/machines",
  component: lazyRouteComponent(() => import("@/pages/machines/machines-page"), "MachinesPage"),
});

const tree = root.addChildren([
  home,
  services,
  service.addChildren([serviceOverview, serviceLogs, serviceHistory, serviceAccess]),
  newService,
  folders,
  folder,
  chat,
  machines,
]);

export const router = createRouter({
  routeTree: tree,
  basepath: "/console",
  defaultPreload: "intent",
  defaultPendingMs: 200,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
