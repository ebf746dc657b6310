/** Palette: pages, actions and things by name, chosen by keys. */

import { useQuery } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { type KeyboardEvent, useDeferredValue, useState } from "react";
import { searchQuery } from "@/api/search";
import { useVisiblePages } from "@/app/rail";
import { useMayChangeAny } from "@/app/rights";
import { useT } from "@/i18n";
import { type Entry, entryOf, matching } from "@/palette/entries";
import { ProblemCard } from "@/ui/card";
import { Dialog } from "@/ui/dialog";
import styles from "./palette.module.css";

const KEYS = "keys";

export function Palette({ onClose, onKeys }: { onClose: () => void; onKeys: () => void }) {
  const t = useT();
  const router = useRouter();
  const [typed, setTyped] = useState("");
  const [chosen, setChosen] = useState(0);
  const { entries, error } = useEntries(typed.trim());
  const at = Math.min(chosen, entries.length - 1);
  const go = (entry: Entry | undefined) => {
    if (!entry) return;
    if (entry.id === KEYS) return onKeys();
    onClose();
    void router.navigate({ to: entry.to });
  };
  const pressed = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setChosen((at + step + entries.length) % Math.max(1, entries.length));
    else if (event.key === "Enter" && !event.nativeEvent.isComposing) go(entries[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title={t.palette.title} onClose={onClose}>
      <input
        className={styles.input}
        autoFocus
        role="combobox"
        aria-label={t.palette.title}
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={entries[at] ? `palette-${at}` : undefined}
        value={typed}
        maxLength={200}
        onChange={(event) => {
          setTyped(event.target.value);
          setChosen(0);
        }}
        onKeyDown={pressed}
      />
      {error && <ProblemCard error={error} />}
      <div id="palette-list" role="listbox" className={styles.list} aria-label={t.palette.title}>
        {entries.map((entry, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the field's, which names the chosen one
          <div
            key={entry.id}
            id={`palette-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === at}
            className={styles.option}
            onClick={() => go(entry)}
          >
            <span>{entry.name}</span>
            <span className={styles.about}>{entry.about}</span>
          </div>
        ))}
        {entries.length === 0 && <p className={styles.about}>{t.palette.nothing}</p>}
      </div>
    </Dialog>
  );
}

function useEntries(typed: string): { entries: Entry[]; error: Error | null } {
  const t = useT();
  const pages = useVisiblePages();
  const mayChange = useMayChangeAny();
  const { data, error } = useQuery(searchQuery(useDeferredValue(typed)));
  const fixed: Entry[] = [
    ...pages.map((page) => ({ id: page.to, name: t.rail[page.name], about: t.palette.page, to: page.to })),
    { id: "me", name: t.users.me, about: t.palette.page, to: "/me" },
    ...(mayChange ? [{ id: "new-service", name: t.services.new, about: t.palette.action, to: "/services/new" }] : []),
    { id: KEYS, name: t.palette.keys, about: t.palette.action, to: "" },
  ];
  const things = typed ? (data?.items ?? []).map((hit) => entryOf(hit, t.palette.kinds)) : [];
  return { entries: [...matching(fixed, typed), ...things], error };
}
