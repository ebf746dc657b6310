/** Japanese texts of the page: history. */

import type { Messages } from "@/i18n/messages";

export const history: Messages["history"] = {
  title: "リビジョン",
  changes: "変更",
  when: "日時",
  who: "変更者",
  what: "内容",
  message: "メッセージ",
  rollBack: "これに戻す",
  rollBackTitle: (name, revision) => `${name}: リビジョン ${revision} に戻しますか?`,
  rollBackText: (revision) =>
    `リビジョン ${revision} を新しいリビジョンとして停止なしで再びロールアウトします。変わる適用値:`,
  rollBackVerb: (revision) => `リビジョン ${revision} に戻す`,
  compare: "比較",
  compareTitle: (from, to) => `リビジョン ${from} と ${to} の比較`,
  from: "リビジョン",
  to: "比較対象",
  same: "適用される値はどちらも同じです。",
  receipt: {
    title: (revision) => `リビジョン ${revision} のロールアウト結果`,
    none: (revision) => `リビジョン ${revision} のロールアウトで置き換えたレプリカはありません。`,
    replicas: "置き換えたレプリカ",
    started: "その時点で処理中のリクエスト",
    finished: "完了",
    retried: "別のレプリカへ移動",
    failed: "失敗",
    cut: "猶予の終わりに切断",
    slowest: "最も遅いもの",
    incomplete: (draining, proxies) =>
      `未完了: ${draining} 個がドレイン中${proxies ? `、${proxies} の報告待ち` : ""}。`,
  },
  running: "実行中",
  empty: "まだ変更はありません。",
};
