/** Korean texts of the page: login. */

import { n } from "@/i18n/ko/numbers";
import type { Messages } from "@/i18n/messages";

export const login: Messages["login"] = {
  title: "Headrace 로그인",
  again: "로그인이 만료되었습니다. 다시 로그인하세요. 입력한 내용은 그대로 남습니다.",
  byKey: "API 키",
  byPassword: "이름과 비밀번호",
  key: "API 키",
  keyHelp: "첫 키는 headrace init과 headrace up이 출력합니다.",
  user: "이름",
  password: "비밀번호",
  submit: "로그인",
  working: "로그인 중…",
  code: "링크로 로그인 중…",
  codeFailed: "링크를 사용할 수 없습니다. 링크는 60초 동안 한 번만 쓸 수 있습니다. 새 링크: headrace console",
  wait: (seconds) => `${n.format(seconds)}초 후 다시 시도하세요.`,
};
