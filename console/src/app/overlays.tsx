/** What keys open over the page: the palette and the list of keys, each loaded when it is opened. */

import { lazy, Suspense, useCallback, useState } from "react";
import { type Overlay, useKeys } from "@/app/keys";
import { useT } from "@/i18n";
import { IconButton } from "@/ui/button";
import { SearchIcon } from "@/ui/icons";

const Palette = lazy(() => import("@/palette/palette").then((found) => ({ default: found.Palette })));
const KeysDialog = lazy(() => import("@/palette/keys-dialog").then((found) => ({ default: found.KeysDialog })));

export function Overlays() {
  const t = useT();
  const [overlay, setOverlay] = useState<Overlay>(null);
  useKeys(setOverlay);
  const close = useCallback(() => setOverlay(null), []);
  return (
    <>
      <IconButton label={t.palette.open} onPress={() => setOverlay("palette")}>
        <SearchIcon />
      </IconButton>
      <Suspense>
        {overlay === "palette" && <Palette onClose={close} onKeys={() => setOverlay("keys")} />}
        {overlay === "keys" && <KeysDialog onClose={close} />}
      </Suspense>
    </>
  );
}
