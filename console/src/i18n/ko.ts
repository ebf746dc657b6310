/** Korean. */

import { access } from "@/i18n/ko/access";
import { audit } from "@/i18n/ko/audit";
import { chat } from "@/i18n/ko/chat";
import { folders } from "@/i18n/ko/folders";
import { history } from "@/i18n/ko/history";
import { login } from "@/i18n/ko/login";
import { logs } from "@/i18n/ko/logs";
import { machines } from "@/i18n/ko/machines";
import { newService } from "@/i18n/ko/new-service";
import { palette } from "@/i18n/ko/palette";
import { projects, webhooks } from "@/i18n/ko/projects";
import { resolution } from "@/i18n/ko/resolution";
import { scaling } from "@/i18n/ko/scaling";
import { service } from "@/i18n/ko/service";
import { services } from "@/i18n/ko/services";
import { settings } from "@/i18n/ko/settings";
import * as shell from "@/i18n/ko/shell";
import { traffic } from "@/i18n/ko/traffic";
import { users } from "@/i18n/ko/users";
import type { Messages } from "@/i18n/messages";

export const ko: Messages = {
  name: "한국어",
  ...shell,
  access,
  audit,
  chat,
  folders,
  history,
  login,
  logs,
  machines,
  newService,
  palette,
  projects,
  resolution,
  scaling,
  service,
  services,
  settings,
  users,
  webhooks,
  traffic,
};
