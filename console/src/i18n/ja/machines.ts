/** Japanese texts of the page: machines. */

import type { Messages } from "@/i18n";
import { n } from "@/i18n/ja/numbers";

export const machines: Messages["machines"] = {
  title: "マシン",
  count: (count) => `マシン ${n.format(count)} 台`,
  name: "名前",
  status: "状態",
  group: "グループ",
  used: "使用量",
  runtime: "ランタイム",
  heard: "最後の報告",
  states: { alive: "使用中", draining: "ドレイン中", cordoned: "新規受け入れ停止", lost: "応答なし" },
  empty: "参加しているマシンはありません。",
  emptyHelp: "参加トークンを作り、表示されたコマンドをマシンで実行してください。",
};
