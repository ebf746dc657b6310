/** Korean texts of the page: history. */

import type { Messages } from "@/i18n";

export const history: Messages["history"] = {
  title: "리비전",
  changes: "변경",
  when: "언제",
  who: "누가",
  what: "무엇을",
  message: "메시지",
  rollBack: "이 리비전으로 롤백",
  running: "실행 중",
  empty: "아직 변경된 것이 없습니다.",
};
