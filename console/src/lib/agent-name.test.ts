import { expect, test } from "vitest";
import { agentName } from "@/lib/agent-name";

test.each([
  ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140, Linux"],
  ["Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36 Edg/150.0.1", "Edge 150, Windows"],
  ["Mozilla/5.0 (Macintosh; Intel Mac OS X 14_1) AppleWebKit/605.1 Version/19.1 Safari/605.1", "Safari 19, macOS"],
  ["headrace/0.1.0", "headrace/0.1.0"],
  ["", "–"],
])("%s", (field, name) => expect(agentName(field)).toBe(name));
