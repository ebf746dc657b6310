/** Japanese texts of the page: services. */

import { n } from "@/i18n/ja/numbers";
import type { Messages } from "@/i18n/messages";

export const services: Messages["services"] = {
  title: "サービス",
  new: "新しいサービス",
  count: (count) => `サービス ${n.format(count)} 件`,
  name: "名前",
  status: "状態",
  replicas: "レプリカ",
  runtime: "ランタイム",
  revision: "リビジョン",
  slots: "スロット",
  requests: "リクエスト/秒",
  latency: "p95",
  errors: "5xx",
  updated: "更新",
  owner: "所有者",
  mine: "自分のもの",
  sort: "並べ替え",
  sorts: {
    created: "古い順",
    "-created": "新しい順",
    name: "名前",
    "-updated": "更新が新しい順",
    "-replicas": "レプリカが多い順",
  },
  searchHelp: "名前、説明、モデル、タグ",
  empty: "実行中のサービスはまだありません。",
  emptyHelp: "サービスはフォルダのモデルをマシンで実行し、変わらないアドレスを 1 つ提供します。",
  filtered: "フィルターに合うサービスはありません。",
  ready: (healthy, wanted) => `レプリカ ${n.format(wanted)} 個中 ${n.format(healthy)} 個が正常`,
};
