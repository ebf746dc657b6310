import { lexer } from "marked";
import { expect, test } from "vitest";
import { GrowingBlocks } from "@/lib/growing-blocks";

const TEXT = "# Head\n\nOne *two*\nthree\n\n- a\n- b\n\n  more\n\n```py\nx = 1\n\ny\n```\n\n| a |\n|---|\n| 1 |\n\nEnd";
const raws = (tokens: readonly { raw: string; type: string }[]) => tokens.map((token) => [token.type, token.raw]);

test("a text that came letter by letter has the same blocks as the whole", () => {
  const blocks = new GrowingBlocks();
  for (let length = 1; length <= TEXT.length; length += 1) blocks.of(TEXT.slice(0, length));
  expect(raws(blocks.of(TEXT))).toEqual(raws(lexer(TEXT, { gfm: true })));
});

test("whole blocks stay the same objects, so that they are rendered once", () => {
  const blocks = new GrowingBlocks();
  const before = blocks.of("one\n\ntwo\n\nthr");
  const after = blocks.of("one\n\ntwo\n\nthree");
  expect(after[0]).toBe(before[0]);
});

test("another text is read anew", () => {
  const blocks = new GrowingBlocks();
  blocks.of("one\n\ntwo");
  expect(raws(blocks.of("other"))).toEqual([["paragraph", "other"]]);
});
