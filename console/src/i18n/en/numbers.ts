/** Numbers in English texts. */

export const n = new Intl.NumberFormat("en");
export const one = (count: number, singular: string, plural: string) =>
  `${n.format(count)} ${count === 1 ? singular : plural}`;
