/** Korean texts of the page: access. */

import { n } from "@/i18n/ko/numbers";
import type { Messages } from "@/i18n/messages";

export const access: Messages["access"] = {
  tokens: "토큰",
  new: "새 토큰",
  make: "토큰 만들기",
  nameHelp: "누가 또는 무엇이 사용하는지",
  expires: "만료",
  days: (count) => `${n.format(count)}일`,
  limits: "제한",
  revoke: "폐기",
  revoked: "폐기됨",
  revokeTitle: (name) => `${name} 토큰을 폐기할까요?`,
  revokeText: "이 토큰의 호출은 1초 안에 거부되고, 진행 중인 호출은 종료됩니다.",
  publicText: "토큰이 필요 없습니다. 엔드포인트에 접근할 수 있는 누구나 호출할 수 있습니다.",
  tokenText: "호출하려면 이 서비스나 프로젝트의 토큰이 필요합니다.",
  empty: "토큰이 없습니다.",
  emptyHelp: "호출자마다 하나씩 만들면 따로 제한하고 폐기할 수 있습니다.",
  once: "한 번만 표시됩니다. 사용할 사람만 읽을 수 있는 곳에 보관하세요.",
  kept: "보관했습니다",
};
