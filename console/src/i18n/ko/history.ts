/** Korean texts of the page: history. */

import type { Messages } from "@/i18n/messages";

export const history: Messages["history"] = {
  title: "리비전",
  changes: "변경",
  when: "언제",
  who: "누가",
  what: "무엇을",
  message: "메시지",
  rollBack: "이 리비전으로 롤백",
  rollBackTitle: (name, revision) => `${name}: 리비전 ${revision}(으)로 롤백할까요?`,
  rollBackText: (revision) => `리비전 ${revision}을(를) 새 리비전으로 중단 없이 다시 롤아웃합니다. 달라지는 적용 값:`,
  rollBackVerb: (revision) => `리비전 ${revision}(으)로 롤백`,
  compare: "비교",
  compareTitle: (from, to) => `리비전 ${from}과(와) ${to} 비교`,
  from: "리비전",
  to: "비교 대상",
  same: "두 리비전의 적용 값이 같습니다.",
  receipt: {
    title: (revision) => `리비전 ${revision} 롤아웃 결과`,
    none: (revision) => `리비전 ${revision} 롤아웃으로 교체된 레플리카가 없습니다.`,
    replicas: "교체된 레플리카",
    started: "당시 처리 중이던 요청",
    finished: "완료",
    retried: "다른 레플리카로 이동",
    failed: "실패",
    cut: "유예 종료로 끊김",
    slowest: "가장 느린 요청",
    incomplete: (draining, proxies) =>
      `아직 끝나지 않음: ${draining}개 드레이닝 중${proxies ? `, ${proxies}의 보고를 기다리는 중` : ""}.`,
  },
  running: "실행 중",
  empty: "아직 변경된 것이 없습니다.",
};
