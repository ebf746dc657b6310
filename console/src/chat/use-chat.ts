/** Chat with a model of a service: sends, streams, stops; kept in memory only. */

import { useCallback, useRef, useState } from "react";
import { lines } from "@/api/client";
import { type ChatMessage, grown, partOf, WAITING } from "@/lib/chat";
import { eventData } from "@/lib/sse";

export type ChatSettings = { url: string; model: string; system: string; temperature: string; maxTokens: string };
export type Chat = {
  messages: readonly ChatMessage[];
  busy: boolean;
  send: (text: string, settings: ChatSettings) => void;
  /** Ask again for the answer to the message with this id, with another text if given. */
  again: (id: number, text: string, settings: ChatSettings) => void;
  stop: () => void;
  clear: () => void;
};

export function useChat(): Chat {
  const [messages, setMessages] = useState<readonly ChatMessage[]>([]);
  const [busy, setBusy] = useState(false);
  const stopper = useRef<AbortController | null>(null);
  const next = useRef(1);

  const ask = useCallback(async (before: readonly ChatMessage[], text: string, settings: ChatSettings) => {
    const question: ChatMessage = { id: next.current++, role: "user", text, reasoning: "", answer: null };
    let answer: ChatMessage = { id: next.current++, role: "assistant", text: "", reasoning: "", answer: WAITING };
    const asked = [...before, question];
    const stop = new AbortController();
    stopper.current = stop;
    let frame = 0;
    const show = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => setMessages([...asked, answer]));
    };
    const end = (state: "done" | "stopped" | "failed", error: string | null) => {
      const facts = answer.answer ?? WAITING;
      answer = {
        ...answer,
        answer: {
          ...facts,
          state: facts.error ? "failed" : state,
          error: facts.error ?? error,
          totalMs: performance.now() - began,
        },
      };
    };
    setBusy(true);
    setMessages([...asked, answer]);
    const began = performance.now();
    try {
      const heard = (response: Response) => {
        answer = { ...answer, answer: { ...WAITING, requestId: response.headers.get("X-Headrace-Call-Id") } };
      };
      for await (const data of eventData(lines(settings.url, stop.signal, { body: bodyOf(asked, settings), heard }))) {
        const part = partOf(data);
        if (part === null) break;
        answer = grown(answer, part, performance.now() - began);
        show();
      }
      end("done", null);
    } catch (error) {
      end(stop.signal.aborted ? "stopped" : "failed", stop.signal.aborted ? null : (error as Error).message);
    } finally {
      cancelAnimationFrame(frame);
      setMessages([...asked, answer]);
      setBusy(false);
    }
  }, []);

  return {
    messages,
    busy,
    send: (text, settings) => void ask(messages, text, settings),
    again: (id, text, settings) =>
      void ask(
        messages.slice(
          0,
          messages.findIndex((message) => message.id === id),
        ),
        text,
        settings,
      ),
    stop: () => stopper.current?.abort(),
    clear: () => setMessages([]),
  };
}

function bodyOf(messages: readonly ChatMessage[], settings: ChatSettings): string {
  return JSON.stringify({
    model: settings.model,
    messages: [
      ...(settings.system.trim() ? [{ role: "system", content: settings.system }] : []),
      ...messages.map(({ role, text }) => ({ role, content: text })),
    ],
    stream: true,
    stream_options: { include_usage: true },
    ...(settings.temperature.trim() ? { temperature: Number(settings.temperature) } : {}),
    ...(settings.maxTokens.trim() ? { max_tokens: Number(settings.maxTokens) } : {}),
  });
}
