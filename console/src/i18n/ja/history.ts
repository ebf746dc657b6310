/** Japanese texts of the page: history. */

import type { Messages } from "@/i18n";

export const history: Messages["history"] = {
  title: "リビジョン",
  changes: "変更",
  when: "日時",
  who: "変更者",
  what: "内容",
  message: "メッセージ",
  rollBack: "これに戻す",
  running: "実行中",
  empty: "まだ変更はありません。",
};
