/** Korean texts of the page: services. */

import { n } from "@/i18n/ko/numbers";
import type { Messages } from "@/i18n/messages";

export const services: Messages["services"] = {
  title: "서비스",
  new: "새 서비스",
  count: (count) => `서비스 ${n.format(count)}개`,
  name: "이름",
  status: "상태",
  replicas: "레플리카",
  runtime: "런타임",
  revision: "리비전",
  slots: "슬롯",
  requests: "요청/s",
  latency: "p95",
  errors: "5xx",
  updated: "변경",
  owner: "소유자",
  mine: "내 서비스",
  sort: "정렬",
  sorts: {
    created: "오래된 순",
    "-created": "최신 순",
    name: "이름",
    "-updated": "최근 변경 순",
    "-replicas": "레플리카 많은 순",
  },
  searchHelp: "이름, 설명, 모델 또는 태그",
  empty: "아직 실행 중인 서비스가 없습니다.",
  emptyHelp: "서비스는 폴더의 모델을 머신에서 실행하고 변하지 않는 주소 하나를 제공합니다.",
  filtered: "필터에 맞는 서비스가 없습니다.",
  ready: (healthy, wanted) => `레플리카 ${n.format(wanted)}개 중 ${n.format(healthy)}개 정상`,
};
