/** Japanese texts of the page: access. */

import { n } from "@/i18n/ja/numbers";
import type { Messages } from "@/i18n/messages";

export const access: Messages["access"] = {
  tokens: "トークン",
  new: "新しいトークン",
  make: "トークンを作成",
  nameHelp: "誰が、または何が使うか",
  expires: "有効期限",
  days: (count) => `${n.format(count)} 日`,
  limits: "制限",
  revoke: "失効させる",
  revoked: "失効済み",
  revokeTitle: (name) => `${name} を失効させますか？`,
  revokeText: "このトークンでの呼び出しは 1 秒以内に拒否され、進行中の呼び出しは終了します。",
  publicText: "トークンは不要です。エンドポイントに到達できる人は誰でも呼び出せます。",
  tokenText: "呼び出すには、このサービスまたはプロジェクトのトークンが必要です。",
  empty: "トークンはありません。",
  emptyHelp: "呼び出し元ごとに作ると、個別に制限し、失効させられます。",
  once: "表示されるのは一度だけです。使う人だけが読める場所に保管してください。",
  kept: "保管しました",
};
