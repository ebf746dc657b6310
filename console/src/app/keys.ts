/** Keys of the whole console: Ctrl or ⌘ K, and single letters outside of fields, which a preference turns off. */

import { useRouter } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { useVisiblePages } from "@/app/rail";
import { preferences } from "@/lib/preferences";
import { newThing } from "@/ui/button";

export type Overlay = "palette" | "keys" | null;

const SECOND_LETTER_MS = 1_500;
const FIELDS = "input, textarea, select, [contenteditable], [role=menu], [role=dialog]";

/** Follow the keys; `open` shows the palette or the list of keys. */
export function useKeys(open: (overlay: Overlay) => void): void {
  const router = useRouter();
  const pages = useVisiblePages();
  const went = useRef(0);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        open("palette");
        return;
      }
      if (!isSingle(event)) return;
      const goes = Date.now() - went.current < SECOND_LETTER_MS;
      went.current = event.key === "g" && !goes ? Date.now() : 0;
      const page = goes ? pages.find((one) => one.letter === event.key) : undefined;
      if (page) void router.navigate({ to: page.to });
      else if (goes || event.key === "g") return;
      else if (event.key === "?") open("keys");
      else if (event.key === "/") pressFirst("main input[type=search], main input", event);
      else if (event.key === "n") pressFirst(`main ${newThing}`, event);
      else if (event.key === "j" || event.key === "k") moveInList(event.key === "j" ? 1 : -1, event);
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [router, pages, open]);
}

/** Whether the key is a letter meant for the page: not in a field, a menu or a dialog, and not turned off. */
function isSingle(event: KeyboardEvent): boolean {
  const { target } = event;
  if (!preferences().singleKeys || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return false;
  if (document.querySelector("[role=dialog]")) return false;
  return !(target instanceof Element && target.closest(FIELDS));
}

/** Focus the first of these where it is a field, press it where it is a link or button. */
function pressFirst(selector: string, event: KeyboardEvent): void {
  const found = document.querySelector<HTMLElement>(selector);
  if (!found) return;
  event.preventDefault();
  if (found instanceof HTMLInputElement) found.focus();
  else found.click();
}

/** Focus the link of the next or previous row of the page's list; Enter follows it as any link. */
function moveInList(step: number, event: KeyboardEvent): void {
  const links = [...document.querySelectorAll("main tbody tr")]
    .map((row) => row.querySelector<HTMLElement>("a"))
    .filter((link) => link !== null);
  if (links.length === 0) return;
  event.preventDefault();
  const row = document.activeElement?.closest("tr");
  const now = links.findIndex((link) => link.closest("tr") === row);
  const next = now < 0 ? (step > 0 ? 0 : links.length - 1) : Math.max(0, Math.min(links.length - 1, now + step));
  links[next]?.focus();
}
