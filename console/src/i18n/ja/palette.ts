/** Japanese texts of the palette and the list of keys. */

import type { Messages } from "@/i18n/messages";

export const palette: Messages["palette"] = {
  open: "検索とコマンド（Ctrl K）",
  title: "ページや名前で移動",
  page: "ページ",
  action: "操作",
  kinds: { service: "サービス", folder: "フォルダ", project: "プロジェクト", machine: "マシン", user: "ユーザー" },
  nothing: "一致する名前はありません。",
  keys: "キー操作",
  make: "このページで新規作成",
  rows: "次の行、前の行、開く",
  single: "1 文字のキーを使う",
};
