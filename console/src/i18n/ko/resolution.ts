/** Korean texts of what a change comes to. */

import { n } from "@/i18n/ko/numbers";
import type { Messages } from "@/i18n/messages";

export const resolution: Messages["resolution"] = {
  before: "변경 전",
  after: "변경 후",
  nothing: "달라지는 것이 없습니다.",
  live: "재시작 없이 바로 적용됩니다:",
  rollout: (revision) => `리비전 ${revision}을(를) 중단 없이 롤아웃합니다:`,
  fits: (placed, replicas) => `새 레플리카 ${n.format(replicas)}개 중 ${n.format(placed)}개를 지금 배치할 수 있습니다`,
};
