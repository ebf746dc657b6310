/** Korean texts of the page: scaling of a service. */

import type { Messages } from "@/i18n/messages";

export const scaling: Messages["scaling"] = {
  rules: "규칙",
  new: "새 규칙",
  create: "규칙 만들기",
  edit: "편집",
  editTitle: "규칙 편집",
  enabled: "켜짐",
  off: "꺼져 있습니다.",
  notYet: "아직 평가되지 않았습니다.",
  deleteTitle: "이 규칙을 삭제할까요?",
  deleteVerb: "규칙 삭제",
  empty: "레플리카 수를 바꾸는 규칙이 없습니다.",
  emptyHelp: "규칙은 지표가 임계값을 넘으면 정해진 범위 안에서 레플리카를 늘리거나 줄입니다.",
  sentence: ({ metric, condition, step, bounds, rest }) =>
    `${metric} ${condition}이면 레플리카 ${bounds}개 범위에서 ${step}, 이후 ${rest} 대기`,
  last: (value, threshold) => `${value}, 임계값 ${threshold}`,
  resting: (left) => `${left} 더 대기합니다.`,
  decisions: "레플리카 수 변경",
  noDecisions: "레플리카 수가 아직 변경되지 않았습니다.",
  by: "변경 주체",
  sources: { rule: "규칙", user: "사용자" },
  observed: "관측값",
  fields: {
    source: "지표의 출처",
    sources: { "inference-framework": "엔진 또는 app-proxy", kernel: "머신 (커널 평균)" },
    metric: "지표",
    metricHelp: "엔진이 제공하는 지표도 가능합니다: vllm:num_requests_waiting, 카운터는 :rate를 붙입니다.",
    comparator: "비교",
    threshold: "임계값",
    step: "변경량",
    stepHelp: "늘릴 레플리카 수. 줄이려면 음수로 씁니다.",
    cooldown: "대기 (초)",
    min: "최소 레플리카",
    max: "최대 레플리카",
  },
};
