/** Korean texts of the page: machines. */

import type { Messages } from "@/i18n";
import { n } from "@/i18n/ko/numbers";

export const machines: Messages["machines"] = {
  title: "머신",
  count: (count) => `머신 ${n.format(count)}대`,
  name: "이름",
  status: "상태",
  group: "그룹",
  used: "사용",
  runtime: "런타임",
  heard: "마지막 보고",
  states: { alive: "사용 중", draining: "드레이닝", cordoned: "새 작업을 받지 않음", lost: "연결 끊김" },
  empty: "참여한 머신이 없습니다.",
  emptyHelp: "참여 토큰을 만들고 출력된 명령을 머신에서 실행하세요.",
};
