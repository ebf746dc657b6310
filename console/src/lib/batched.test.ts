import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Batched } from "@/lib/batched";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("the first is given on at once, what comes meanwhile once and together", () => {
  const given: string[][] = [];
  const batched = new Batched<string>(1000, (values) => given.push(values));
  batched.add("a");
  batched.add("b");
  batched.add("b");
  batched.add("c");
  expect(given).toEqual([["a"]]);
  vi.advanceTimersByTime(1000);
  expect(given).toEqual([["a"], ["b", "c"]]);
  vi.advanceTimersByTime(5000);
  batched.add("d");
  expect(given.at(-1)).toEqual(["d"]);
});
