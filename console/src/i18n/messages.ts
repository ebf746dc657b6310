/** Type of all texts: keys and arguments are those of English. */

import type { en } from "@/i18n/en";

type Widened<T> = {
  [K in keyof T]: T[K] extends string
    ? string
    : T[K] extends (...args: infer A) => string
      ? (...args: A) => string
      : Widened<T[K]>;
};
export type Messages = Widened<typeof en>;
