/** Japanese texts of the page: new service. */

import { n } from "@/i18n/ja/numbers";
import type { Messages } from "@/i18n/messages";

export const newService: Messages["newService"] = {
  create: "サービスを作成",
  model: "モデル",
  folder: "フォルダ",
  noFolder: "なし",
  modelName: "フォルダ内のモデル",
  modelHelp: "空欄: 定義の最初のモデル",
  byFiles: "ファイルに従う",
  nameHelp: "アドレスの一部: 英小文字、数字、ハイフン",
  resources: "レプリカごとのリソース",
  gpus: "GPU",
  cpu: "CPU",
  memory: "メモリ",
  resourcesHelp: "空欄はフォルダのファイルに従います。メモリは 8g のように、GPU は 0.5 のような分割も可能です。",
  more: "環境とアクセス",
  variables: "環境変数",
  variablesHelp: "1 行に 1 つ NAME=value。秘密の値はプロジェクトのシークレットに置いてください。",
  description: "説明",
  public: "トークンなしで誰でも呼び出せる",
  effect: "適用される内容",
  effectHelp: "名前を入力すると、適用される値とその由来、問題点を実行前にここに表示します。",
  effective: "適用される値",
  value: "値",
  origins: {
    baseline: "既定値",
    project: "プロジェクト",
    "service-definition": "サービス定義",
    "model-definition": "モデル定義",
    size: "サイズ",
    request: "入力",
  },
  problems: (count) => `問題 ${n.format(count)} 件`,
  quota: (project) => `${project} のクォータ`,
  needed: "必要",
  limit: "上限",
};
