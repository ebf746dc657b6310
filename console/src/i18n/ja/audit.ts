/** Japanese texts of the page: audit. */

import type { Messages } from "@/i18n/messages";

export const audit: Messages["audit"] = {
  title: "監査",
  csv: "CSV をダウンロード",
  at: "日時",
  actor: "実行者",
  action: "操作",
  on: "対象",
  message: "理由",
  from: "接続元",
  key: "使用したキー",
  filters: { actor: "ユーザー", action: "操作（例: service.*）", service: "サービス", agent: "マシン" },
  range: "期間",
  ranges: { "1h": "過去 1 時間", "24h": "過去 1 日", "7d": "過去 7 日", "30d": "過去 30 日", all: "全期間" },
  empty: "一致する変更はありません。",
  owners: "プロジェクトの監査ログはオーナーだけが見られます。",
  ownersHelp: "自分がオーナーのプロジェクトを選ぶか、オペレーターに尋ねてください。",
  fields: "変更されたフィールド",
  before: "変更前",
  after: "変更後",
  noFields: "状態は記録されていません。",
  details: "詳細",
};
