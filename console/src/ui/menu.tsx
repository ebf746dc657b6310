/** Menu of actions behind one button. */

import type { ReactNode } from "react";
import { Menu as AriaMenu, Button, MenuItem, MenuTrigger, Popover } from "react-aria-components";
import button from "./button.module.css";
import styles from "./field.module.css";

export type Action = { id: string; label: string; onAction: () => void; danger?: boolean; disabled?: boolean };

export function Menu({ label, icon, actions }: { label: string; icon: ReactNode; actions: readonly Action[] }) {
  return (
    <MenuTrigger>
      <Button className={`${button.button} ${button.quiet} ${button.icon}`} aria-label={label}>
        {icon}
      </Button>
      <Popover className={styles.popover} placement="bottom end">
        <AriaMenu
          items={actions}
          disabledKeys={actions.filter((action) => action.disabled).map((action) => action.id)}
          onAction={(key) => actions.find((action) => action.id === key)?.onAction()}
        >
          {(action) => (
            <MenuItem className={`${styles.option} ${action.danger ? styles.danger : ""}`}>{action.label}</MenuItem>
          )}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  );
}
