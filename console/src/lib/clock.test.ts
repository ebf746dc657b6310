import { expect, test } from "vitest";
import { learnTime, serverNow } from "@/lib/clock";

test("a wrong clock of the browser is corrected by the server's, a second of difference is not", () => {
  learnTime(new Date(Date.now() + 3_600_000).toUTCString());
  expect(Math.abs(serverNow() - Date.now() - 3_600_000)).toBeLessThan(2_000);
  learnTime(new Date(Date.now()).toUTCString());
  expect(serverNow() - Date.now()).toBe(0);
  learnTime("no date");
  learnTime(null);
  expect(serverNow() - Date.now()).toBe(0);
});
