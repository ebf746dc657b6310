/** Lines of a log on the page; only those that are seen are in it. Scrolling up holds it, the end goes on. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import { useT } from "@/i18n";
import type { LogLine } from "@/lib/log-lines";
import styles from "./logs.module.css";

const LINE_PX = 19;
const END_PX = 24;
const ID_SHOWN = 8;

type Props = {
  lines: readonly LogLine[];
  wrap: boolean;
  following: boolean;
  onFollow: (following: boolean) => void;
  dropped: number;
};

export function LogView({ lines, wrap, following, onFollow, dropped }: Props) {
  const t = useT();
  const scroller = useRef<HTMLElement>(null);
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => LINE_PX,
    getItemKey: (index) => lines[index]?.id ?? index,
    overscan: 20,
  });
  const count = lines.length;
  // biome-ignore lint/correctness/useExhaustiveDependencies: at each new line
  useEffect(() => {
    if (following && count > 0) rows.scrollToIndex(count - 1, { align: "end" });
  }, [count, lines, following, wrap]);
  const scrolled = (up: boolean) => {
    const place = scroller.current;
    if (!place) return;
    const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < END_PX;
    if (up && following) onFollow(false);
    else if (!up && atEnd && !following) onFollow(true);
  };
  const shown = rows.getVirtualItems();
  return (
    <section
      ref={scroller}
      className={`${styles.lines} ${wrap ? styles.wrap : ""}`}
      aria-label={t.service.tabs.logs}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so keys must reach it
      tabIndex={0}
      onWheel={(event) => scrolled(event.deltaY < 0)}
      onKeyDown={(event) => {
        if (["ArrowUp", "PageUp", "Home"].includes(event.key)) scrolled(true);
        if (event.key === "End") onFollow(true);
      }}
    >
      {dropped > 0 && <p className={styles.note}>{t.logs.missing}</p>}
      <div style={{ height: rows.getTotalSize(), position: "relative" }}>
        <div
          style={{ position: "absolute", insetInline: 0, top: 0, transform: `translateY(${shown[0]?.start ?? 0}px)` }}
        >
          {shown.map((row) => {
            const line = lines[row.index];
            return (
              line && (
                <div key={line.id} ref={rows.measureElement} data-index={row.index} className={styles.line}>
                  <time className={styles.time} dateTime={line.at} title={line.at}>
                    {line.at.slice(11, 23)}
                  </time>
                  {line.replica && (
                    <span className={styles.replica} title={line.replica}>
                      {line.replica.slice(-ID_SHOWN)}
                    </span>
                  )}
                  <span>{line.text}</span>
                </div>
              )
            );
          })}
        </div>
      </div>
    </section>
  );
}
