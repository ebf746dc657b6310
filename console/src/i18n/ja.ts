/** Japanese. */

import { access } from "@/i18n/ja/access";
import { audit } from "@/i18n/ja/audit";
import { chat } from "@/i18n/ja/chat";
import { folders } from "@/i18n/ja/folders";
import { history } from "@/i18n/ja/history";
import { login } from "@/i18n/ja/login";
import { logs } from "@/i18n/ja/logs";
import { machines } from "@/i18n/ja/machines";
import { newService } from "@/i18n/ja/new-service";
import { palette } from "@/i18n/ja/palette";
import { projects, webhooks } from "@/i18n/ja/projects";
import { resolution } from "@/i18n/ja/resolution";
import { scaling } from "@/i18n/ja/scaling";
import { service } from "@/i18n/ja/service";
import { services } from "@/i18n/ja/services";
import { settings } from "@/i18n/ja/settings";
import * as shell from "@/i18n/ja/shell";
import { traffic } from "@/i18n/ja/traffic";
import { users } from "@/i18n/ja/users";
import type { Messages } from "@/i18n/messages";

export const ja: Messages = {
  name: "日本語",
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
