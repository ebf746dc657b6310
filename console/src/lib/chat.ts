/** A chat: messages, and an answer that grows by the parts of a stream. */

export type ChatMessage = {
  id: number;
  role: "user" | "assistant";
  text: string;
  reasoning: string;
  answer: AnswerFacts | null;
};

/** What is known of an answer besides its text. Times in ms. */
export type AnswerFacts = {
  state: "waiting" | "streaming" | "done" | "stopped" | "failed";
  firstTokenMs: number | null;
  totalMs: number | null;
  tokensIn: number | null;
  tokensOut: number | null;
  finishReason: string | null;
  requestId: string | null;
  error: string | null;
};

export const WAITING: AnswerFacts = {
  state: "waiting",
  firstTokenMs: null,
  totalMs: null,
  tokensIn: null,
  tokensOut: null,
  finishReason: null,
  requestId: null,
  error: null,
};

/** Part of an answer in OpenAI's stream of chat completions. */
export type Part = {
  text: string;
  reasoning: string;
  finishReason: string | null;
  tokensIn: number | null;
  tokensOut: number | null;
  error: string | null;
};

/** Return what one event of the stream says; null at its end. An event that cannot be read is an error of the answer. */
export function partOf(data: string): Part | null {
  if (data.trim() === "[DONE]") return null;
  let found: unknown;
  try {
    found = JSON.parse(data);
  } catch {
    return { ...NOTHING, error: data.slice(0, 500) };
  }
  if (typeof found !== "object" || found === null) return NOTHING;
  const event = found as Event;
  if (event.error)
    return {
      ...NOTHING,
      error: typeof event.error === "string" ? event.error : (event.error.message ?? JSON.stringify(event.error)),
    };
  const choice = event.choices?.[0];
  return {
    text: choice?.delta?.content ?? choice?.message?.content ?? "",
    reasoning: choice?.delta?.reasoning_content ?? choice?.delta?.reasoning ?? "",
    finishReason: choice?.finish_reason ?? null,
    tokensIn: event.usage?.prompt_tokens ?? null,
    tokensOut: event.usage?.completion_tokens ?? null,
    error: null,
  };
}

/** Return the message with a part added. */
export function grown(message: ChatMessage, part: Part, elapsedMs: number): ChatMessage {
  const facts = message.answer ?? WAITING;
  const first = facts.firstTokenMs ?? (part.text || part.reasoning ? elapsedMs : null);
  return {
    ...message,
    text: message.text + part.text,
    reasoning: message.reasoning + part.reasoning,
    answer: {
      ...facts,
      state: part.error ? "failed" : "streaming",
      firstTokenMs: first,
      finishReason: part.finishReason ?? facts.finishReason,
      tokensIn: part.tokensIn ?? facts.tokensIn,
      tokensOut: part.tokensOut ?? facts.tokensOut,
      error: part.error ?? facts.error,
    },
  };
}

const NOTHING: Part = { text: "", reasoning: "", finishReason: null, tokensIn: null, tokensOut: null, error: null };

type Event = {
  error?: string | { message?: string };
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null; reasoning?: string | null };
    message?: { content?: string | null };
    finish_reason?: string | null;
  }[];
  usage?: { prompt_tokens?: number; completion_tokens?: number } | null;
};
