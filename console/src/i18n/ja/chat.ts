/** Japanese texts of the page: chat. */

import { n } from "@/i18n/ja/numbers";
import type { Messages } from "@/i18n/messages";

export const chat: Messages["chat"] = {
  title: "チャット",
  service: "サービス",
  model: "モデル",
  settings: "設定",
  system: "システムプロンプト",
  temperature: "温度",
  maxTokens: "回答の最大トークン数",
  modelDefault: "空欄: モデルの既定値",
  clear: "新しいチャット",
  message: "メッセージ",
  placeholder: "質問を入力してください。Enter で送信、Shift Enter で改行します。",
  send: "送信",
  stop: "停止",
  edit: "編集",
  again: "もう一度聞く",
  reasoning: "推論",
  waiting: "最初のトークンを待っています…",
  stopped: "停止しました",
  firstToken: (time) => `最初のトークン ${time}`,
  total: (time) => `合計 ${time}`,
  tokens: (input, output) => `入力 ${n.format(input)} トークン、出力 ${n.format(output)} トークン`,
  perSecond: "トークン/秒",
  empty: (service) => `${service} に質問してみましょう`,
  emptyHelp: "チャットはこのページだけに保持され、ページを離れると消えます。",
  noService: "回答できるサービスがありません。",
};
