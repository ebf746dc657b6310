/** Korean texts of the page: chat. */

import { n } from "@/i18n/ko/numbers";
import type { Messages } from "@/i18n/messages";

export const chat: Messages["chat"] = {
  title: "채팅",
  service: "서비스",
  model: "모델",
  settings: "설정",
  system: "시스템 프롬프트",
  temperature: "온도",
  maxTokens: "답변의 최대 토큰 수",
  modelDefault: "비워 두면 모델의 기본값",
  clear: "새 채팅",
  message: "메시지",
  placeholder: "질문을 입력하세요. Enter로 보내고 Shift Enter로 줄을 바꿉니다.",
  send: "보내기",
  stop: "중지",
  edit: "편집",
  again: "다시 묻기",
  reasoning: "추론",
  waiting: "첫 토큰을 기다리는 중…",
  stopped: "중지됨",
  firstToken: (time) => `첫 토큰 ${time}`,
  total: (time) => `전체 ${time}`,
  tokens: (input, output) => `입력 토큰 ${n.format(input)}개, 출력 ${n.format(output)}개`,
  perSecond: "토큰/초",
  empty: (service) => `${service}에 질문해 보세요`,
  emptyHelp: "채팅은 이 페이지에만 보관되며, 페이지를 떠나면 사라집니다.",
  noService: "답할 수 있는 서비스가 없습니다.",
};
