/** Pages of the rail, in order, and who sees them. `letter`: after `g` it goes there. */

import { type ComponentType, useMemo } from "react";
import { useLogin } from "@/app/login-gate";
import type { Messages } from "@/i18n";
import { AuditIcon, ChatIcon, FoldersIcon, MachinesIcon, ProjectsIcon, ServicesIcon, UsersIcon } from "@/ui/icons";

type RailPage = {
  to: string;
  name: keyof Messages["rail"];
  Icon: ComponentType;
  letter: string;
  for?: "operators" | "owners";
};

const PAGES: readonly RailPage[] = [
  { to: "/services", name: "services", letter: "s", Icon: ServicesIcon },
  { to: "/folders", name: "folders", letter: "f", Icon: FoldersIcon },
  { to: "/chat", name: "chat", letter: "c", Icon: ChatIcon },
  { to: "/machines", name: "machines", letter: "m", Icon: MachinesIcon, for: "operators" },
  { to: "/projects", name: "projects", letter: "p", Icon: ProjectsIcon },
  { to: "/users", name: "users", letter: "u", Icon: UsersIcon, for: "operators" },
  { to: "/audit", name: "audit", letter: "a", Icon: AuditIcon, for: "owners" },
];

/** Return the pages that the person who is logged in may see. */
export function useVisiblePages(): readonly RailPage[] {
  const { user, projects } = useLogin();
  return useMemo(() => {
    const owns = Object.values(projects).includes("owner");
    return PAGES.filter((page) => user.operator || !page.for || (page.for === "owners" && owns));
  }, [user, projects]);
}
