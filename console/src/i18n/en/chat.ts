/** English texts of the page: chat. */

import { n } from "@/i18n/en/numbers";

export const chat = {
  title: "Chat",
  service: "Service",
  model: "Model",
  settings: "Settings",
  system: "System prompt",
  temperature: "Temperature",
  maxTokens: "Most tokens of an answer",
  modelDefault: "Empty: as the model has it",
  clear: "New chat",
  message: "Message",
  placeholder: "Ask something. Enter sends, Shift Enter makes a new line.",
  send: "Send",
  stop: "Stop",
  edit: "Edit",
  again: "Ask again",
  reasoning: "Reasoning",
  waiting: "Waiting for the first token…",
  stopped: "Stopped",
  firstToken: (time: string) => `first token ${time}`,
  total: (time: string) => `total ${time}`,
  tokens: (input: number, output: number) => `${n.format(input)} tokens in, ${n.format(output)} out`,
  perSecond: "tokens/s",
  empty: (service: string) => `Ask ${service} something`,
  emptyHelp: "The chat is kept in this page only; it is gone when you leave it.",
  noService: "No service runs that could answer.",
};
