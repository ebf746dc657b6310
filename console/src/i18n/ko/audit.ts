/** Korean texts of the page: audit. */

import type { Messages } from "@/i18n/messages";

export const audit: Messages["audit"] = {
  title: "감사",
  csv: "CSV 내려받기",
  at: "시각",
  actor: "사용자",
  action: "작업",
  on: "대상",
  message: "이유",
  from: "위치",
  key: "사용한 키",
  filters: { actor: "사용자", action: "작업(예: service.*)", service: "서비스", agent: "머신" },
  range: "기간",
  ranges: { "1h": "최근 1시간", "24h": "최근 1일", "7d": "최근 7일", "30d": "최근 30일", all: "전체 기간" },
  empty: "일치하는 변경이 없습니다.",
  owners: "프로젝트의 감사 로그는 소유자만 볼 수 있습니다.",
  ownersHelp: "소유한 프로젝트를 고르거나 운영자에게 문의하세요.",
  fields: "바뀐 필드",
  before: "이전",
  after: "이후",
  noFields: "기록된 상태가 없습니다.",
  details: "상세",
};
