/** Frame of all pages: top bar, rail, and the page. */

import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { LiveBadge } from "@/app/live-badge";
import { Overlays } from "@/app/overlays";
import { ProjectSwitch } from "@/app/project";
import { useVisiblePages } from "@/app/rail";
import { UpdateNotice } from "@/app/update-notice";
import { UserMenu } from "@/app/user-menu";
import { useT } from "@/i18n";
import { IconButton } from "@/ui/button";
import { MenuIcon } from "@/ui/icons";
import icon from "../icon.svg";
import styles from "./shell.module.css";

export function Shell() {
  const t = useT();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const [open, setOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes the drawer and begins at its top
  useEffect(() => {
    setOpen(false);
    main.current?.scrollTo(0, 0);
  }, [path]);
  return (
    <div className={styles.shell}>
      <a className={styles.skip} href="#main">
        {t.rail.label}
      </a>
      <header className={styles.top}>
        <span className={styles.menuButton}>
          <IconButton label={t.top.menu} onPress={() => setOpen(!open)}>
            <MenuIcon />
          </IconButton>
        </span>
        <Link to="/" className={styles.brand ?? ""} aria-label="Headrace">
          <img src={icon} width={22} height={22} alt="" />
          <span className={styles.brandText}>Headrace</span>
        </Link>
        <span className={styles.project}>
          <ProjectSwitch />
        </span>
        <UpdateNotice />
        <Overlays />
        <LiveBadge />
        <UserMenu />
      </header>
      <Rail open={open} />
      <main id="main" ref={main} className={styles.main} tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}

function Rail({ open }: { open: boolean }) {
  const t = useT();
  return (
    <nav className={styles.rail} aria-label={t.rail.label} data-open={open || undefined}>
      <ul>
        {useVisiblePages().map(({ to, name, Icon }) => (
          <li key={to}>
            <Link to={to} className={styles.link ?? ""} title={t.rail[name]} activeOptions={{ exact: to === "/" }}>
              <Icon />
              <span className={styles.text}>{t.rail[name]}</span>
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

/** A page with its title and actions. */
export function Page({ children }: { children: React.ReactNode }) {
  return <div className={styles.page}>{children}</div>;
}
