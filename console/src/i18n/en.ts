/** English: the source of all texts, a file a page. The other languages have the same keys, which their types check. */

import { access } from "@/i18n/en/access";
import { audit } from "@/i18n/en/audit";
import { chat } from "@/i18n/en/chat";
import { folders } from "@/i18n/en/folders";
import { history } from "@/i18n/en/history";
import { login } from "@/i18n/en/login";
import { logs } from "@/i18n/en/logs";
import { machines } from "@/i18n/en/machines";
import { newService } from "@/i18n/en/new-service";
import { palette } from "@/i18n/en/palette";
import { projects, webhooks } from "@/i18n/en/projects";
import { resolution } from "@/i18n/en/resolution";
import { scaling } from "@/i18n/en/scaling";
import { service } from "@/i18n/en/service";
import { services } from "@/i18n/en/services";
import { settings } from "@/i18n/en/settings";
import * as shell from "@/i18n/en/shell";
import { traffic } from "@/i18n/en/traffic";
import { users } from "@/i18n/en/users";

export const en = {
  name: "English",
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
