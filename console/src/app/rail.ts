/** Pages of the rail, in order. */

import type { ComponentType } from "react";
import type { Messages } from "@/i18n";
import { ChatIcon, FoldersIcon, MachinesIcon, ProjectsIcon, ServicesIcon } from "@/ui/icons";

type RailPage = { to: string; name: keyof Messages["rail"]; Icon: ComponentType; operators?: boolean };

export const PAGES: readonly RailPage[] = [
  { to: "/services", name: "services", Icon: ServicesIcon },
  { to: "/folders", name: "folders", Icon: FoldersIcon },
  { to: "/chat", name: "chat", Icon: ChatIcon },
  { to: "/machines", name: "machines", Icon: MachinesIcon, operators: true },
  { to: "/projects", name: "projects", Icon: ProjectsIcon },
];
