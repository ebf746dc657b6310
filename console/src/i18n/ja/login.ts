/** Japanese texts of the page: login. */

import { n } from "@/i18n/ja/numbers";
import type { Messages } from "@/i18n/messages";

export const login: Messages["login"] = {
  title: "Headrace にログイン",
  again: "ログインの期限が切れました。もう一度ログインしてください。入力した内容は残ります。",
  byKey: "API キー",
  byPassword: "名前とパスワード",
  key: "API キー",
  keyHelp: "最初のキーは headrace init と headrace up が表示します。",
  user: "名前",
  password: "パスワード",
  submit: "ログイン",
  working: "ログイン中…",
  code: "リンクでログイン中…",
  codeFailed: "リンクは使えませんでした。60 秒間、一度だけ有効です。新しいリンク: headrace console",
  wait: (seconds) => `${n.format(seconds)} 秒後にもう一度お試しください。`,
};
