/** Pages of the rail, in order. */

import type { ComponentType } from "react";
import type { Messages } from "@/i18n";
import { MachinesIcon, ServicesIcon } from "@/ui/icons";

type RailPage = { to: string; name: keyof Messages["rail"]; Icon: ComponentType; operators?: boolean };

export const PAGES: readonly RailPage[] = [
  { to: "/services", name: "services", Icon: ServicesIcon },
  { to: "/machines", name: "machines", Icon: MachinesIcon, operators: true },
];
