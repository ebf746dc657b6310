/** Korean texts of what all pages have. */

import type { Messages } from "@/i18n/messages";

export const rail: Messages["rail"] = {
  label: "페이지",
  services: "서비스",
  chat: "채팅",
  folders: "폴더",
  machines: "머신",
  projects: "프로젝트",
  users: "사용자",
  audit: "감사",
};

export const top: Messages["top"] = {
  menu: "메뉴",
  logOut: "로그아웃",
  theme: { label: "테마", system: "시스템 설정", light: "밝게", dark: "어둡게" },
  language: "언어",
  asBrowser: "브라우저 설정",
  density: { label: "행 높이", normal: "보통", compact: "좁게" },
  zone: { label: "시간대", local: "현지 시간", utc: "UTC" },
};

export const live: Messages["live"] = {
  live: "실시간",
  polling: "실시간 아님",
  pollingWhy: (why) => `10초마다 읽음: ${why}`,
  away: "매니저가 응답하지 않습니다",
  closed: "변경 스트림이 닫혀 있습니다",
  silent: "40초 동안 수신한 것이 없습니다",
  updated: "Headrace가 업데이트되었습니다.",
  reload: "새로 고침",
};

export const error: Messages["error"] = {
  network: "매니저에 연결할 수 없습니다",
  networkDetail: "응답이 없습니다. 표시된 내용이 오래되었을 수 있으며, 다시 시도하고 있습니다.",
  title: "읽을 수 없습니다",
  retry: "다시 시도",
  request: "요청",
  found: "입력된 값",
  allowed: "허용되는 값",
  notFound: "아무것도 없습니다",
  notFoundDetail: "삭제되었거나 볼 권한이 없습니다.",
  page: "없는 페이지입니다",
  broken: "페이지에 오류가 있습니다",
  home: "서비스로 이동",
};

export const common: Messages["common"] = {
  copy: "복사",
  copied: "복사됨",
  cancel: "취소",
  close: "닫기",
  loading: "불러오는 중",
  none: "–",
  all: "전체",
  more: "더 보기",
  clear: "필터 지우기",
  search: "검색",
  command: "명령으로 복사",
  typeName: (name) => `확인하려면 ${name} 입력`,
  why: "이유",
};

export const status: Messages["status"] = { healthy: "정상", degraded: "저하됨", unhealthy: "비정상" };

export const phase: Messages["phase"] = {
  deploying: "배포 중",
  deployed: "배포됨",
  stopping: "중지 중",
  stopped: "중지됨",
  failed: "실패",
};

export const units: Messages["units"] = { ago: (age) => `${age} 전`, in: (age) => `${age} 후`, now: "지금" };
