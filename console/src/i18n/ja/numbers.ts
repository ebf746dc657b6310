/** Numbers in Japanese texts. */

export const n = new Intl.NumberFormat("ja");
