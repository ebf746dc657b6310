/** Addresses of the pages; a page's view is in its address. */

import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
  retainSearchParams,
} from "@tanstack/react-router";
import { NotFoundPage, PageFault } from "@/app/faults";
import { Shell } from "@/app/shell";
import { parseTrafficSearch } from "@/lib/traffic";
import { parseAuditSearch } from "@/pages/audit/search";
import { parseServiceSearch } from "@/pages/services/search";

const MOST = 128;

const root = createRootRoute({
  component: Shell,
  notFoundComponent: NotFoundPage,
  errorComponent: PageFault,
  validateSearch: ({ project }: Record<string, unknown>): { project?: string | undefined } =>
    typeof project === "string" && project !== "" && project.length <= MOST ? { project } : {},
  search: { middlewares: [retainSearchParams(["project"])] },
});

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
  validateSearch: ({ replica }: Record<string, unknown>): { replica?: string } =>
    typeof replica === "string" && replica.length <= 64 ? { replica } : {},
  component: lazyRouteComponent(() => import("@/pages/service/overview"), "OverviewTab"),
});

const serviceTraffic = createRoute({
  getParentRoute: () => service,
  path: "/traffic",
  validateSearch: parseTrafficSearch,
  component: lazyRouteComponent(() => import("@/pages/service/traffic"), "TrafficTab"),
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
  validateSearch: ({ from, to }: Record<string, unknown>): { from?: number; to?: number } =>
    Number.isSafeInteger(from) && Number.isSafeInteger(to) ? { from: from as number, to: to as number } : {},
  component: lazyRouteComponent(() => import("@/pages/service/history"), "HistoryTab"),
});

const serviceAccess = createRoute({
  getParentRoute: () => service,
  path: "/access",
  component: lazyRouteComponent(() => import("@/pages/service/access"), "AccessTab"),
});

const serviceScaling = createRoute({
  getParentRoute: () => service,
  path: "/scaling",
  component: lazyRouteComponent(() => import("@/pages/service/scaling/scaling"), "ScalingTab"),
});

const serviceSettings = createRoute({
  getParentRoute: () => service,
  path: "/settings",
  component: lazyRouteComponent(() => import("@/pages/service/settings/settings"), "SettingsTab"),
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
  validateSearch: (search: Record<string, unknown>): { tab?: "app-proxies" | undefined } =>
    search.tab === "app-proxies" ? { tab: search.tab } : {},
  component: lazyRouteComponent(() => import("@/pages/machines/machines-page"), "MachinesPage"),
});

const machine = createRoute({
  getParentRoute: () => root,
  path: "/machines/$machine",
  component: lazyRouteComponent(() => import("@/pages/machine/machine-page"), "MachinePage"),
});

const projects = createRoute({
  getParentRoute: () => root,
  path: "/projects",
  component: lazyRouteComponent(() => import("@/pages/projects/projects-page"), "ProjectsPage"),
});

const project = createRoute({
  getParentRoute: () => root,
  path: "/projects/$name",
  component: lazyRouteComponent(() => import("@/pages/project/project-page"), "ProjectPage"),
});

const projectResources = createRoute({
  getParentRoute: () => project,
  path: "/",
  component: lazyRouteComponent(() => import("@/pages/project/resources"), "ResourcesTab"),
});

const projectMembers = createRoute({
  getParentRoute: () => project,
  path: "/members",
  component: lazyRouteComponent(() => import("@/pages/project/members"), "MembersTab"),
});

const projectTokens = createRoute({
  getParentRoute: () => project,
  path: "/tokens",
  component: lazyRouteComponent(() => import("@/pages/project/tokens"), "ProjectTokensTab"),
});

const projectSecrets = createRoute({
  getParentRoute: () => project,
  path: "/secrets",
  component: lazyRouteComponent(() => import("@/pages/project/secrets"), "SecretsTab"),
});

const projectWebhooks = createRoute({
  getParentRoute: () => project,
  path: "/webhooks",
  component: lazyRouteComponent(() => import("@/pages/project/webhooks"), "WebhooksTab"),
});

const users = createRoute({
  getParentRoute: () => root,
  path: "/users",
  component: lazyRouteComponent(() => import("@/pages/users/users-page"), "UsersPage"),
});

const user = createRoute({
  getParentRoute: () => root,
  path: "/users/$user",
  component: lazyRouteComponent(() => import("@/pages/user/user-page"), "UserPage"),
});

const me = createRoute({
  getParentRoute: () => root,
  path: "/me",
  component: lazyRouteComponent(() => import("@/pages/user/me-page"), "MePage"),
});

const audit = createRoute({
  getParentRoute: () => root,
  path: "/audit",
  validateSearch: parseAuditSearch,
  component: lazyRouteComponent(() => import("@/pages/audit/audit-page"), "AuditPage"),
});

const tree = root.addChildren([
  home,
  services,
  service.addChildren([
    serviceOverview,
    serviceTraffic,
    serviceLogs,
    serviceHistory,
    serviceScaling,
    serviceAccess,
    serviceSettings,
  ]),
  newService,
  folders,
  folder,
  chat,
  machines,
  machine,
  users,
  user,
  me,
  audit,
  projects,
  project.addChildren([projectResources, projectMembers, projectTokens, projectSecrets, projectWebhooks]),
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
