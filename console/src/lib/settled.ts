/** A value that settles: what it is a moment after its last change. */

import { useEffect, useState } from "react";

/** Values are compared, and kept, as JSON. */
export function useSettled<V>(value: V, afterMs: number): V {
  const [settled, setSettled] = useState(value);
  const text = JSON.stringify(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(JSON.parse(text) as V), afterMs);
    return () => clearTimeout(timer);
  }, [text, afterMs]);
  return settled;
}
