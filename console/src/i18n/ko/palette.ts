/** Korean texts of the palette and the list of keys. */

import type { Messages } from "@/i18n/messages";

export const palette: Messages["palette"] = {
  open: "검색과 명령(Ctrl K)",
  title: "페이지나 이름으로 이동",
  page: "페이지",
  action: "작업",
  kinds: { service: "서비스", folder: "폴더", project: "프로젝트", machine: "머신", user: "사용자" },
  nothing: "일치하는 이름이 없습니다.",
  keys: "단축키",
  make: "이 페이지에서 새로 만들기",
  rows: "다음 행, 이전 행, 열기",
  single: "한 글자 단축키 사용",
};
