/** Japanese texts of what all pages have. */

import type { Messages } from "@/i18n/messages";

export const rail: Messages["rail"] = {
  label: "ページ",
  services: "サービス",
  chat: "チャット",
  folders: "フォルダ",
  machines: "マシン",
  projects: "プロジェクト",
  users: "ユーザー",
  audit: "監査",
};

export const top: Messages["top"] = {
  menu: "メニュー",
  logOut: "ログアウト",
  theme: { label: "テーマ", system: "システムに合わせる", light: "ライト", dark: "ダーク" },
  language: "言語",
  asBrowser: "ブラウザに合わせる",
  density: { label: "行の高さ", normal: "標準", compact: "狭い" },
  zone: { label: "タイムゾーン", local: "現地時間", utc: "UTC" },
};

export const live: Messages["live"] = {
  live: "ライブ",
  polling: "ライブではありません",
  pollingWhy: (why) => `10 秒ごとに読み込み: ${why}`,
  away: "マネージャーが応答しません",
  closed: "変更のストリームが閉じています",
  silent: "40 秒間、何も届いていません",
  updated: "Headrace が更新されました。",
  reload: "再読み込み",
};

export const error: Messages["error"] = {
  network: "マネージャーに接続できません",
  networkDetail: "応答がありません。表示内容は古い可能性があります。再試行しています。",
  title: "読み込めませんでした",
  retry: "再試行",
  request: "リクエスト",
  found: "入力値",
  allowed: "許可される値",
  notFound: "ここには何もありません",
  notFoundDetail: "削除されたか、表示する権限がありません。",
  page: "このページは存在しません",
  broken: "このページに問題があります",
  home: "サービスへ",
};

export const common: Messages["common"] = {
  copy: "コピー",
  copied: "コピーしました",
  cancel: "キャンセル",
  close: "閉じる",
  loading: "読み込み中",
  none: "–",
  all: "すべて",
  more: "さらに表示",
  clear: "フィルターを解除",
  search: "検索",
  command: "コマンドとしてコピー",
  typeName: (name) => `確認のため ${name} と入力`,
  why: "理由",
};

export const status: Messages["status"] = { healthy: "正常", degraded: "一部異常", unhealthy: "異常" };

export const phase: Messages["phase"] = {
  deploying: "デプロイ中",
  deployed: "デプロイ済み",
  stopping: "停止中",
  stopped: "停止済み",
  failed: "失敗",
};

export const units: Messages["units"] = { ago: (age) => `${age}前`, in: (age) => `${age}後`, now: "今" };
