/** Focus after a dialog: it goes back to what had it before, also where one dialog took the place of another. */

import { useEffect } from "react";

let before: HTMLElement | null = null;

document.addEventListener("focusin", ({ target }) => {
  if (target instanceof HTMLElement && !target.closest("[role=dialog], [role=alertdialog]")) before = target;
});

/** Give the focus back when the calling dialog closes, unless something else has taken it. */
export function useFocusReturn(): void {
  useEffect(
    () => () => {
      requestAnimationFrame(() => {
        if (document.activeElement !== document.body || document.querySelector("[role=dialog]")) return;
        const place = before?.isConnected ? before : document.getElementById("main");
        place?.focus();
      });
    },
    [],
  );
}
