/** Japanese texts of the page: logs. */

import { n } from "@/i18n/ja/numbers";
import type { Messages } from "@/i18n/messages";

export const logs: Messages["logs"] = {
  replica: "レプリカ",
  allReplicas: "すべてのレプリカ",
  follow: "追従",
  paused: "一時停止",
  wrap: "折り返し",
  filter: "フィルター",
  download: "ダウンロード",
  empty: "ログはまだありません。",
  lines: (count) => `${n.format(count)} 行`,
  missing: "ここで行が欠けています",
  waiting: "ログを待っています…",
};
