import { expect, test } from "vitest";
import { age, disk, duration, memory, slot } from "@/i18n/format";

test.each([
  [0.25, "250 ms"],
  [1, "1 s"],
  [80, "1 m 20 s"],
  [3600, "1 h"],
  [90_061, "1 d 1 h"],
])("%d s as a duration", (seconds, text) => expect(duration(seconds)).toBe(text));

test.each([
  [-3, "0 s"],
  [59.9, "59 s"],
  [60, "1 m"],
  [86_400, "1 d"],
])("%d s as an age", (seconds, text) => expect(age(seconds)).toBe(text));

test("memory counts by 1024, disks by 1000", () => {
  expect(memory(1.5 * 1024 ** 3)).toBe("1.5 GiB");
  expect(disk(1_500_000_000)).toBe("1.5 GB");
  expect(disk(999)).toBe("999 B");
});

test("a slot of memory is in GiB", () => {
  expect(slot("mem", String(2 * 1024 ** 3))).toBe("2 GiB");
  expect(slot("cpu", "0.5")).toBe("0.5");
});
