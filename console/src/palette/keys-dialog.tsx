/** List of keys, and the switch that turns single letters off. */

import { Fragment, useSyncExternalStore } from "react";
import { useVisiblePages } from "@/app/rail";
import { useT } from "@/i18n";
import { onPreferences, prefer, preferences } from "@/lib/preferences";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Check } from "@/ui/field";
import styles from "./palette.module.css";

export function KeysDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const pages = useVisiblePages();
  const { singleKeys } = useSyncExternalStore(onPreferences, preferences);
  const rows: [string, string][] = [
    ["Ctrl K, ⌘ K", t.palette.title],
    ["Esc", t.common.close],
    ...(singleKeys
      ? ([
          ["/", t.common.search],
          ["n", t.palette.make],
          ["j  k  Enter", t.palette.rows],
          ["?", t.palette.keys],
          ...pages.map((page) => [`g ${page.letter}`, t.rail[page.name]]),
        ] as [string, string][])
      : []),
  ];
  return (
    <Dialog title={t.palette.keys} onClose={onClose} actions={<Button onPress={onClose}>{t.common.close}</Button>}>
      <dl className={styles.keys}>
        {rows.map(([key, what]) => (
          <Fragment key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </Fragment>
        ))}
      </dl>
      <Check label={t.palette.single} checked={singleKeys} onChange={(on) => prefer({ singleKeys: on })} />
    </Dialog>
  );
}
