/** Client of the manager's REST API: types from the OpenAPI document, errors as ApiProblem. */

import createClient from "openapi-fetch";
import { learnTime } from "@/lib/clock";
import type { components, paths } from "../../build/schema";

export type Schemas = components["schemas"];
export type WrongField = { field: string; found?: string; allowed?: string };

const TIMEOUT_MS = 20_000;

/** An answer of the API that is no success, or none at all (status 0). */
export class ApiProblem extends Error {
  readonly status: number;
  readonly reason: string | null;
  readonly title: string;
  readonly requestId: string | null;
  readonly errors: WrongField[];
  readonly retryAfterS: number | null;

  constructor(status: number, found: Partial<Schemas["ProblemDocument"]>, retryAfter: string | null) {
    super(found.detail ?? found.title ?? "");
    this.name = "ApiProblem";
    this.status = status;
    this.reason = found.reason ?? null;
    this.title = found.title ?? "";
    this.requestId = found.request_id ?? null;
    this.errors = (found.errors ?? []).map((error) => ({
      field: String(error.field ?? ""),
      ...(error.found === undefined ? {} : { found: String(error.found) }),
      ...(error.allowed === undefined ? {} : { allowed: String(error.allowed) }),
    }));
    this.retryAfterS = retryAfter !== null && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : null;
  }
}

const bounded: typeof fetch = async (input, init) => {
  const signal = init?.signal ?? (input instanceof Request ? input.signal : null);
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(input, { ...init, signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  learnTime(response.headers.get("Date"));
  return response;
};

/** The manager that served this page; its header says that a change comes from the console. */
export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? "",
  headers: { "X-Headrace-Console": "1" },
  fetch: (request: Request) => bounded(request),
  querySerializer: { array: { style: "form", explode: true } },
});

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** Return what a call answered. Raises ApiProblem. */
export async function answered<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiProblem(0, {}, null);
  }
  if (answer.response.ok) return answer.data as T;
  const found = typeof answer.error === "object" && answer.error !== null ? answer.error : {};
  throw new ApiProblem(answer.response.status, found, answer.response.headers.get("Retry-After"));
}

/** Yield the lines of a text answer as they come, until it ends. `heard` gets the answer's head first. Raises ApiProblem. */
export async function* lines(
  path: string,
  signal: AbortSignal,
  {
    body,
    heard,
    headers,
  }: { body?: string; heard?: (response: Response) => void; headers?: Record<string, string> } = {},
): AsyncGenerator<string[]> {
  const post = body === undefined ? {} : { method: "POST", body };
  const fields = {
    ...headers,
    ...(body === undefined ? {} : { "Content-Type": "application/json", "X-Headrace-Console": "1" }),
  };
  let response: Response;
  try {
    response = await fetch(path, { ...post, signal, headers: fields });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiProblem(0, {}, null);
  }
  heard?.(response);
  if (!response.ok) {
    const found = await response.json().catch(() => ({}));
    throw new ApiProblem(
      response.status,
      typeof found === "object" && found !== null ? found : {},
      response.headers.get("Retry-After"),
    );
  }
  if (!response.body) return;
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    const found = (rest + (value ?? "")).split("\n");
    rest = done ? "" : (found.pop() ?? "");
    if (found.length > 0) yield found;
    if (done) return;
  }
}
