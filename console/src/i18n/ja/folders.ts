/** Japanese texts of the page: folders. */

import { n } from "@/i18n/ja/numbers";
import type { Messages } from "@/i18n/messages";

export const folders: Messages["folders"] = {
  title: "フォルダ",
  new: "新しいフォルダ",
  make: "フォルダを作成",
  nameHelp: "英字、数字、ドット、ハイフン、アンダースコア",
  mode: "用途",
  modes: { model: "モデル", data: "データ", general: "一般" },
  source: "取り込み元",
  created: "作成",
  files: "ファイル",
  size: "サイズ",
  empty: "フォルダはまだありません。",
  emptyHelp: "フォルダにはモデルのファイルと 2 つの定義ファイルがあり、サービスがマウントします。",
  noFiles: "空です。",
  dropHelp:
    "ファイルやディレクトリをここにドロップするか、選択してください。中断したアップロードは続きから再開します。",
  run: "実行する",
  download: "ダウンロード",
  upload: "アップロード",
  chooseFiles: "ファイルを追加",
  chooseDirectory: "ディレクトリを追加",
  pause: "一時停止",
  resume: "再開",
  sent: (done, all) => `${n.format(all)} ファイル中 ${n.format(done)} ファイル`,
  deleteText: "中のファイルもすべて削除されます。",
  deleteFileText: "ディレクトリは中身ごと削除されます。",
};
