import { expect, test } from "vitest";
import { type ChatMessage, grown, partOf, WAITING } from "@/lib/chat";

const EMPTY: ChatMessage = { id: 1, role: "assistant", text: "", reasoning: "", answer: WAITING };

test("text, reasoning, usage and the end are read of a stream", () => {
  const events = [
    '{"choices":[{"delta":{"role":"assistant"}}]}',
    '{"choices":[{"delta":{"reasoning_content":"hm"}}]}',
    '{"choices":[{"delta":{"content":"Hel"}}]}',
    '{"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}',
    '{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}',
  ];
  const message = events.reduce((before, data, index) => {
    const part = partOf(data);
    return part ? grown(before, part, 10 * (index + 1)) : before;
  }, EMPTY);
  expect([message.text, message.reasoning]).toEqual(["Hello", "hm"]);
  expect(message.answer).toMatchObject({
    firstTokenMs: 20,
    tokensIn: 5,
    tokensOut: 2,
    finishReason: "stop",
    state: "streaming",
  });
});

test("an error event is an error, and what came stays", () => {
  const part = partOf('{"error":{"message":"the replica ended"}}');
  const message = grown({ ...EMPTY, text: "Half" }, part as NonNullable<typeof part>, 5);
  expect([message.text, message.answer?.state, message.answer?.error]).toEqual(["Half", "failed", "the replica ended"]);
});

test("the end is no part, and what cannot be read is an error", () => {
  expect(partOf("[DONE]")).toBeNull();
  expect(partOf("<html>")?.error).toBe("<html>");
});
