/** Notice that Headrace was updated, with a button that loads the page anew; what is typed stays until then. */

import { useEffect } from "react";
import { setUpdated, useUpdated } from "@/app/version";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";

export function UpdateNotice() {
  const t = useT();
  const updated = useUpdated();
  useEffect(() => {
    // A part of the page that is loaded when it is used is not there any more.
    addEventListener("vite:preloadError", setUpdated);
    return () => removeEventListener("vite:preloadError", setUpdated);
  }, []);
  if (!updated) return null;
  return (
    <span role="status" style={{ display: "inline-flex", alignItems: "center", gap: 8 }}>
      {t.live.updated}
      <Button small kind="primary" onPress={() => location.reload()}>
        {t.live.reload}
      </Button>
    </span>
  );
}
