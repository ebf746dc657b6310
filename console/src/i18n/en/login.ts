/** English texts of the page: login. */

import { one } from "@/i18n/en/numbers";

export const login = {
  title: "Log in to Headrace",
  again: "Your login has ended. Log in again; what you typed stays.",
  byKey: "API key",
  byPassword: "Name and password",
  key: "API key",
  keyHelp: "headrace init and headrace up print the first one.",
  user: "Name",
  password: "Password",
  submit: "Log in",
  working: "Logging in…",
  code: "Logging in by the link…",
  codeFailed: "The link was not taken: it works once, for 60 seconds. Ask for a new one: headrace console",
  wait: (seconds: number) => `Try again in ${one(seconds, "second", "seconds")}.`,
};
