/** Fields of a service's settings: where each is in the API, how it is written in a form, and what it is when empty. */

export const SECTIONS = ["spec", "about", "address", "balance", "limits", "callers", "cors", "rollout"] as const;
export type Section = (typeof SECTIONS)[number];

/** `list` and `pairs` have one item a line; `slots`, `steps` and `mounts` too, each as the command line writes them. */
export type Kind =
  | "text"
  | "lines"
  | "number"
  | "amount"
  | "choice"
  | "check"
  | "list"
  | "pairs"
  | "slots"
  | "steps"
  | "mounts"
  | "command";

export type Field = {
  id: string;
  section: Section;
  kind: Kind;
  options?: readonly string[];
  /** Value of the API that an empty field has, where leaving it out would leave the value that there is. */
  reset?: unknown;
  /** Names of a project's secrets, folders or sizes that are offered. */
  offers?: "secrets" | "folders" | "sizes";
};

const RUNTIMES = ["custom", "cmd", "vllm", "sglang", "nim", "huggingface-tgi", "llama-cpp"] as const;

export const FIELDS = [
  { id: "spec.folder", section: "spec", kind: "text", offers: "folders" },
  { id: "spec.model_uri", section: "spec", kind: "text" },
  { id: "spec.runtime", section: "spec", kind: "choice", options: RUNTIMES },
  { id: "spec.model", section: "spec", kind: "text" },
  { id: "spec.image", section: "spec", kind: "text" },
  { id: "spec.architecture", section: "spec", kind: "choice", options: ["", "x86_64", "aarch64"] },
  { id: "spec.command", section: "spec", kind: "command" },
  { id: "spec.port", section: "spec", kind: "number" },
  { id: "spec.definition_path", section: "spec", kind: "text" },
  { id: "spec.model_destination", section: "spec", kind: "text" },
  { id: "spec.size", section: "spec", kind: "text", offers: "sizes" },
  { id: "spec.slots", section: "spec", kind: "slots" },
  { id: "resource_group", section: "spec", kind: "text" },
  { id: "spec.shm_size", section: "spec", kind: "text" },
  { id: "spec.environ", section: "spec", kind: "pairs" },
  { id: "spec.masked", section: "spec", kind: "list" },
  { id: "spec.secret_environ", section: "spec", kind: "pairs" },
  { id: "spec.pull_secret", section: "spec", kind: "text", offers: "secrets" },
  { id: "spec.model_secret", section: "spec", kind: "text", offers: "secrets" },
  { id: "spec.extra_mounts", section: "spec", kind: "mounts" },
  { id: "description", section: "about", kind: "lines" },
  { id: "tags", section: "about", kind: "list" },
  { id: "metadata", section: "about", kind: "pairs" },
  { id: "models", section: "address", kind: "list" },
  { id: "endpoint_port", section: "address", kind: "number" },
  { id: "drain_grace_s", section: "address", kind: "number" },
  {
    id: "balance.policy",
    section: "balance",
    kind: "choice",
    options: ["least-in-flight", "round-robin", "session", "prefix"],
    reset: "least-in-flight",
  },
  { id: "balance.session_key", section: "balance", kind: "text", reset: "header:x-session-id" },
  { id: "balance.prefix_bytes", section: "balance", kind: "number", reset: 512 },
  { id: "balance.load_factor", section: "balance", kind: "number", reset: 1.25 },
  { id: "balance.slow_start_s", section: "balance", kind: "number", reset: 0 },
  { id: "limits.max_in_flight_per_replica", section: "limits", kind: "number", reset: null },
  { id: "limits.max_queued", section: "limits", kind: "number", reset: 1000 },
  { id: "limits.queue_timeout_s", section: "limits", kind: "number", reset: 30 },
  { id: "limits.first_byte_timeout_s", section: "limits", kind: "number", reset: 600 },
  { id: "limits.idle_timeout_s", section: "limits", kind: "number", reset: 300 },
  { id: "limits.max_body_bytes", section: "limits", kind: "number", reset: null },
  { id: "caller_limits.in_flight", section: "callers", kind: "number", reset: null },
  { id: "caller_limits.requests_per_second", section: "callers", kind: "number", reset: null },
  { id: "caller_limits.tokens_per_minute", section: "callers", kind: "number", reset: null },
  { id: "caller_limits.tokens_per_day", section: "callers", kind: "number", reset: null },
  { id: "cors.allow_origins", section: "cors", kind: "list", reset: [] },
  { id: "cors.allow_headers", section: "cors", kind: "list", reset: [] },
  { id: "cors.expose_headers", section: "cors", kind: "list", reset: [] },
  { id: "cors.max_age_s", section: "cors", kind: "number", reset: 600 },
  { id: "cors.allow_credentials", section: "cors", kind: "check", reset: false },
  {
    id: "rollout.strategy",
    section: "rollout",
    kind: "choice",
    options: ["rolling", "canary", "blue-green"],
    reset: "rolling",
  },
  {
    id: "rollout.on_failure",
    section: "rollout",
    kind: "choice",
    options: ["roll-back", "keep"],
    reset: "roll-back",
  },
  { id: "rollout.max_surge", section: "rollout", kind: "amount", reset: "25%" },
  { id: "rollout.max_unavailable", section: "rollout", kind: "amount", reset: 1 },
  { id: "rollout.min_ready_s", section: "rollout", kind: "number", reset: 0 },
  { id: "rollout.progress_deadline_s", section: "rollout", kind: "number", reset: 1800 },
  { id: "rollout.steps", section: "rollout", kind: "steps", reset: [] },
  { id: "rollout.auto_promote", section: "rollout", kind: "check", reset: true },
] as const satisfies readonly Field[];

export type FieldId = (typeof FIELDS)[number]["id"];

/** Fields as they were changed in the form; what is not in it is as the service has it. */
export type Edits = Partial<Record<FieldId, string>>;

export const fieldOf = (id: FieldId): Field => FIELDS.find((field) => field.id === id) as Field;
