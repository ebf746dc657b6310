/** Korean texts of the page: folders. */

import { n } from "@/i18n/ko/numbers";
import type { Messages } from "@/i18n/messages";

export const folders: Messages["folders"] = {
  title: "폴더",
  new: "새 폴더",
  make: "폴더 만들기",
  nameHelp: "영문자, 숫자, 점, 하이픈, 밑줄",
  mode: "용도",
  modes: { model: "모델", data: "데이터", general: "일반" },
  source: "가져온 곳",
  created: "생성",
  files: "파일",
  size: "크기",
  empty: "아직 폴더가 없습니다.",
  emptyHelp: "폴더에는 모델 파일과 두 개의 정의 파일이 있으며, 서비스가 이를 마운트합니다.",
  noFiles: "비어 있습니다.",
  dropHelp: "파일이나 디렉터리를 여기에 놓거나 선택하세요. 끊긴 업로드는 이어서 계속됩니다.",
  run: "실행하기",
  download: "다운로드",
  upload: "업로드",
  chooseFiles: "파일 추가",
  chooseDirectory: "디렉터리 추가",
  pause: "일시 중지",
  resume: "계속",
  sent: (done, all) => `파일 ${n.format(all)}개 중 ${n.format(done)}개`,
  deleteText: "폴더의 모든 파일이 함께 삭제됩니다.",
  deleteFileText: "디렉터리는 안에 있는 것과 함께 삭제됩니다.",
};
