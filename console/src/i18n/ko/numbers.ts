/** Numbers in Korean texts. */

export const n = new Intl.NumberFormat("ko");
