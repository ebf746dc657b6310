/** Status and phase: shape, word and colour, so that none of them is needed alone. */

import type { Replica, Service, ServicePhase, ServiceStatus } from "@/api/services";
import { useT } from "@/i18n";
import styles from "./status.module.css";

type Look = ServiceStatus | Exclude<ServicePhase, "deployed"> | "quiet";

const SHAPES: Record<Look, React.ReactNode> = {
  healthy: <circle cx="6" cy="6" r="5" fill="currentColor" />,
  degraded: (
    <>
      <circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" />
      <path d="M6 1.5a4.5 4.5 0 000 9z" fill="currentColor" />
    </>
  ),
  unhealthy: <rect x="1" y="1" width="10" height="10" fill="currentColor" />,
  deploying: (
    <circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" strokeWidth="1.6" strokeDasharray="3 2.6" />
  ),
  stopping: (
    <circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" strokeWidth="1.6" strokeDasharray="3 2.6" />
  ),
  stopped: <path d="M2 6h8" stroke="currentColor" strokeWidth="2" />,
  failed: <path d="M2 2l8 8M10 2l-8 8" stroke="currentColor" strokeWidth="2" />,
  quiet: <circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" />,
};

export function Badge({ look, children }: { look: Look; children: React.ReactNode }) {
  return (
    <span className={`${styles.badge} ${styles[look]}`}>
      <svg className={styles.shape} viewBox="0 0 12 12" aria-hidden="true">
        {SHAPES[look]}
      </svg>
      {children}
    </span>
  );
}

/** One word for a service: its phase while that is what matters, else its status. */
export function ServiceBadge({ service }: { service: Pick<Service, "status" | "phase"> }) {
  const t = useT();
  if (service.phase === "deployed" || (service.phase === "deploying" && service.status !== "unhealthy"))
    return <Badge look={service.status}>{t.status[service.status]}</Badge>;
  return <Badge look={service.phase}>{t.phase[service.phase]}</Badge>;
}

export function HealthBadge({ health }: { health: Replica["health"] }) {
  return <Badge look={health}>{useT().status[health]}</Badge>;
}
