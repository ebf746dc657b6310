/** Icons: inline SVGs of 16 px, hidden from screen readers; the text beside or the label says it. */

import type { ReactNode } from "react";

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg
      width="16"
      height="16"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const ServicesIcon = () => (
  <Icon>
    <path d="M2.5 3.5h11v3.5h-11zM2.5 9h11v3.5h-11zM5 5.2h.01M5 10.7h.01" />
  </Icon>
);
export const MachinesIcon = () => (
  <Icon>
    <path d="M2 3h12v8H2zM6 14h4M8 11v3" />
  </Icon>
);
export const FoldersIcon = () => (
  <Icon>
    <path d="M1.8 4.2h4.4l1.4 1.6h6.6v6.8H1.8z" />
  </Icon>
);
export const ModelsIcon = () => (
  <Icon>
    <path d="M8 1.8l5.5 3v6.4L8 14.2l-5.5-3V4.800zM2.5 4.800L8 8l5.5-3.200M8 8v6.2" />
  </Icon>
);
export const OverviewIcon = () => (
  <Icon>
    <path d="M2 2.500h5v5H2zM9 2.500h5v3H9zM9 8h5v5.500H9zM2 10h5v3.500H2z" />
  </Icon>
);
export const ProjectsIcon = () => (
  <Icon>
    <path d="M2.5 13V5.500L8 2.500l5.5 3V13zM6 13V9h4v4" />
  </Icon>
);
export const UsersIcon = () => (
  <Icon>
    <path d="M8 7.500a2.6 2.6 0 100-5.2 2.6 2.6 0 000 5.200zM2.8 13.700c.4-2.6 2.5-4 5.2-4s4.8 1.4 5.2 4" />
  </Icon>
);
export const AuditIcon = () => (
  <Icon>
    <path d="M3.5 2h9v12h-9zM6 5.500h4M6 8h4M6 10.500h2.5" />
  </Icon>
);
export const MenuIcon = () => (
  <Icon>
    <path d="M2 4h12M2 8h12M2 12h12" />
  </Icon>
);
export const MoreIcon = () => (
  <Icon>
    <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" strokeWidth="2.4" />
  </Icon>
);
export const CopyIcon = () => (
  <Icon>
    <path d="M5.5 5.500h8v8h-8zM10.5 5.500v-3h-8v8h3" />
  </Icon>
);
export const CheckIcon = () => (
  <Icon>
    <path d="M3 8.500l3.2 3.200L13 5" />
  </Icon>
);
export const PlusIcon = () => (
  <Icon>
    <path d="M8 3v10M3 8h10" />
  </Icon>
);
export const MinusIcon = () => (
  <Icon>
    <path d="M3 8h10" />
  </Icon>
);
export const SearchIcon = () => (
  <Icon>
    <path d="M7 12A5 5 0 107 2a5 5 0 000 10zM11 11l3 3" />
  </Icon>
);
export const CloseIcon = () => (
  <Icon>
    <path d="M4 4l8 8M12 4l-8 8" />
  </Icon>
);
export const DownIcon = () => (
  <Icon>
    <path d="M4 6l4 4 4-4" />
  </Icon>
);
export const ChatIcon = () => (
  <Icon>
    <path d="M2 3h12v8.5H7l-3 2.5v-2.5H2z" />
  </Icon>
);
