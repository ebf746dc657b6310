import { expect, test } from "vitest";
import { LogLines, MOST_LINES, matching, visible } from "@/lib/log-lines";

const REPLICA = "01a22dbc-402a-7523-8eef-2a851a0a5e0b";
const AT = "2026-11-30T18:34:03.035Z";

test("a line has its time, and in the log of all replicas the replica", () => {
  const log = new LogLines();
  log.add([`${AT} one`, `${REPLICA} ${AT} two`, "no time"]);
  expect(log.all.map(({ replica, at, text }) => [replica, at, text])).toEqual([
    ["", AT, "one"],
    [REPLICA, AT, "two"],
    ["", "", "no time"],
  ]);
});

test("the oldest lines go, and are counted", () => {
  const log = new LogLines();
  log.add(Array.from({ length: MOST_LINES }, (_, number) => `${AT} ${number}`));
  log.add([`${AT} last`, `${AT} very last`]);
  expect([log.all.length, log.dropped, log.all[0]?.text, log.all.at(-1)?.text]).toEqual([
    MOST_LINES,
    2,
    "2",
    "very last",
  ]);
});

test("control characters are seen, colours are not", () => {
  expect(visible("\u001b[31mred\u001b[0m\u0007 \u202eabc\ttab")).toBe("red\u2407 \\u202eabc\ttab");
});

test("a filter finds text in any case", () => {
  const log = new LogLines();
  log.add([`${AT} GET /health`, `${AT} post`]);
  expect(matching(log.all, "POST").map((line) => line.text)).toEqual(["post"]);
  expect(matching(log.all, "")).toBe(log.all);
});
