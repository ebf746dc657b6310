/** How values of charts are written: rates, shares, times, sizes. */

import type { Language } from "@/i18n";
import { latency, memory } from "@/i18n/format";
import type { Value } from "@/lib/traffic";

/** Return how a kind of value is written, short. */
export function valueFormat(kind: Value, language: Language): (value: number) => string {
  const short = new Intl.NumberFormat(language, { notation: "compact", maximumSignificantDigits: 3 });
  const share = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 });
  switch (kind) {
    case "rate":
      return (value) => `${short.format(value)}/s`;
    case "share":
      return (value) => share.format(value);
    case "percent":
      return (value) => share.format(value / 100);
    case "time":
      return latency;
    case "bytes":
      return memory;
    default:
      return (value) => short.format(value);
  }
}
