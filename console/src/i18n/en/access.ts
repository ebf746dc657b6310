/** English texts of the page: access. */

import { one } from "@/i18n/en/numbers";

export const access = {
  tokens: "Tokens",
  new: "New token",
  make: "Make token",
  nameHelp: "Who or what will use it",
  expires: "Expires",
  days: (count: number) => one(count, "day", "days"),
  limits: "Limits",
  revoke: "Revoke",
  revoked: "revoked",
  revokeTitle: (name: string) => `Revoke ${name}?`,
  revokeText: "Calls with it are refused within a second, and open ones end.",
  publicText: "No token is needed: everybody who reaches the endpoint may call it.",
  tokenText: "Callers need a token of this service or of its project.",
  empty: "There is no token.",
  emptyHelp: "Make one for each caller, so that each can be limited and revoked by itself.",
  once: "This is shown once. Keep it where only its user can read it.",
  kept: "I have kept it",
};
