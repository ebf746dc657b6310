import { expect, test } from "vitest";
import { eventData } from "@/lib/sse";

async function* given(...parts: string[][]) {
  yield* parts;
}

async function all(lines: AsyncIterable<readonly string[]>): Promise<string[]> {
  const found: string[] = [];
  for await (const data of eventData(lines)) found.push(data);
  return found;
}

test("events end at an empty line, also over parts; comments are passed over", async () => {
  expect(await all(given([": alive", "data: one"], ["", "event: x", "data:two", "data: three", ""]))).toEqual([
    "one",
    "two\nthree",
  ]);
});

test("carriage returns are no part of the data, and the last event needs no empty line", async () => {
  expect(await all(given(["data: one\r", "\r", "data: two"]))).toEqual(["one", "two"]);
});
