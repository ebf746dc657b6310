/** Korean texts of the page: logs. */

import { n } from "@/i18n/ko/numbers";
import type { Messages } from "@/i18n/messages";

export const logs: Messages["logs"] = {
  replica: "레플리카",
  allReplicas: "모든 레플리카",
  follow: "따라가기",
  paused: "일시 중지",
  wrap: "줄 바꿈",
  filter: "필터",
  download: "다운로드",
  empty: "아직 로그가 없습니다.",
  lines: (count) => `${n.format(count)}줄`,
  missing: "여기에서 일부 줄이 빠졌습니다",
  waiting: "로그를 기다리는 중…",
};
