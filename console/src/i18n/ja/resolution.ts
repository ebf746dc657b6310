/** Japanese texts of what a change comes to. */

import { n } from "@/i18n/ja/numbers";
import type { Messages } from "@/i18n/messages";

export const resolution: Messages["resolution"] = {
  before: "変更前",
  after: "変更後",
  nothing: "何も変わりません。",
  live: "再起動なしで、すぐに反映されます:",
  rollout: (revision) => `リビジョン ${revision} を停止なしでロールアウトします:`,
  fits: (placed, replicas) =>
    `新しいレプリカ ${n.format(replicas)} 個のうち ${n.format(placed)} 個を今すぐ配置できます`,
};
