/** Korean texts of the page: new service. */

import { n } from "@/i18n/ko/numbers";
import type { Messages } from "@/i18n/messages";

export const newService: Messages["newService"] = {
  create: "서비스 만들기",
  model: "모델",
  folder: "폴더",
  noFolder: "없음",
  modelName: "폴더 안의 모델",
  modelHelp: "비워 두면 정의 파일의 첫 번째 모델",
  byFiles: "파일에 따름",
  nameHelp: "주소의 일부: 영문 소문자, 숫자, 하이픈",
  resources: "레플리카별 자원",
  gpus: "GPU",
  cpu: "CPU",
  memory: "메모리",
  resourcesHelp: "비워 두면 폴더의 파일을 따릅니다. 메모리는 8g처럼, GPU는 0.5처럼 나눌 수도 있습니다.",
  more: "환경과 접근",
  variables: "환경 변수",
  variablesHelp: "한 줄에 하나씩 NAME=value. 비밀 값은 프로젝트 시크릿에 넣으세요.",
  description: "설명",
  public: "누구나 토큰 없이 호출할 수 있음",
  effect: "적용 결과",
  effectHelp: "이름을 입력하면 적용될 값과 그 출처, 문제점을 실행하기 전에 여기에서 보여 줍니다.",
  effective: "적용될 값",
  value: "값",
  origins: {
    baseline: "기본값",
    project: "프로젝트",
    "service-definition": "서비스 정의",
    "model-definition": "모델 정의",
    size: "크기",
    request: "직접 입력",
  },
  problems: (count) => `문제 ${n.format(count)}개`,
  quota: (project) => `${project} 할당량`,
  needed: "필요",
  limit: "한도",
};
