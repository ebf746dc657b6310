/** Japanese texts of the page: scaling of a service. */

import type { Messages } from "@/i18n/messages";

export const scaling: Messages["scaling"] = {
  rules: "ルール",
  new: "新しいルール",
  create: "ルールを作成",
  edit: "編集",
  editTitle: "ルールを編集",
  enabled: "オン",
  off: "オフです。",
  notYet: "まだ評価されていません。",
  deleteTitle: "このルールを削除しますか?",
  deleteVerb: "ルールを削除",
  empty: "レプリカ数を変えるルールはありません。",
  emptyHelp: "ルールは、指標がしきい値を超えたとき、範囲内でレプリカを増減します。",
  sentence: ({ metric, condition, step, bounds, rest }) =>
    `${metric} が ${condition} のとき: レプリカ ${bounds} の範囲で ${step}、その後 ${rest} 休止`,
  last: (value, threshold) => `${value}、しきい値 ${threshold}`,
  resting: (left) => `あと ${left} 休止します。`,
  decisions: "レプリカ数の変更",
  noDecisions: "レプリカ数はまだ変更されていません。",
  by: "変更元",
  sources: { rule: "ルール", user: "ユーザー" },
  observed: "観測値",
  fields: {
    source: "指標の出どころ",
    sources: { "inference-framework": "エンジンまたは app-proxy", kernel: "マシン (カーネルの平均)" },
    metric: "指標",
    metricHelp: "エンジンが公開する指標も使えます: vllm:num_requests_waiting。カウンターには :rate を付けます。",
    comparator: "比較",
    threshold: "しきい値",
    step: "増減数",
    stepHelp: "増やすレプリカ数。減らすときは負の数。",
    cooldown: "休止 (秒)",
    min: "最小レプリカ数",
    max: "最大レプリカ数",
  },
};
