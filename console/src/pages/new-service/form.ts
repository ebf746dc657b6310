/** Fields of the form for a new service, and the request that they make. */

import type { NewService } from "@/api/resolutions";

export type NewServiceForm = {
  project: string;
  name: string;
  folder: string;
  model: string;
  runtime: string;
  replicas: string;
  cpu: string;
  mem: string;
  gpus: string;
  environ: string;
  description: string;
  open_to_public: boolean;
};

export const EMPTY: NewServiceForm = {
  project: "",
  name: "",
  folder: "",
  model: "",
  runtime: "",
  replicas: "1",
  cpu: "",
  mem: "",
  gpus: "",
  environ: "",
  description: "",
  open_to_public: false,
};

export const RUNTIMES = ["vllm", "sglang", "nim", "huggingface-tgi", "llama-cpp", "cmd", "custom"] as const;

/** Return the request: what is empty in the form is not in it, so that definition files and defaults count. */
export function requestOf(form: NewServiceForm): NewService {
  const slots = Object.fromEntries(
    [
      ["cpu", form.cpu.trim()],
      ["mem", form.mem.trim()],
      ["cuda.device", form.gpus.trim()],
    ].filter(([, amount]) => amount !== ""),
  );
  const environ = environOf(form.environ);
  return {
    name: form.name.trim(),
    ...(form.project ? { project: form.project } : {}),
    ...(form.folder ? { folder: form.folder } : {}),
    ...(form.model.trim() ? { model: form.model.trim() } : {}),
    ...(form.runtime ? { runtime: form.runtime as NonNullable<NewService["runtime"]> } : {}),
    ...(/^\d+$/.test(form.replicas.trim()) ? { replicas: Number(form.replicas) } : {}),
    ...(Object.keys(slots).length ? { slots } : {}),
    ...(Object.keys(environ).length ? { environ } : {}),
    ...(form.description.trim() ? { description: form.description.trim() } : {}),
    ...(form.open_to_public ? { open_to_public: true } : {}),
  };
}

/** Variables, one `NAME=value` a line. A line without `=` is a name with an empty value, which the API judges. */
export function environOf(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return Object.fromEntries(
    lines.map((line) => {
      const [, name = line, value = ""] = /^([^=]*)=(.*)$/s.exec(line) ?? [];
      return [name.trim(), value];
    }),
  );
}

/** The same as a command. Values of variables are left out. */
export function commandOf(form: NewServiceForm): string {
  const options: [string, string][] = [
    ["--project", form.project],
    ["--folder", form.folder],
    ["--model", form.model.trim()],
    ["--runtime", form.runtime],
    ["--replicas", form.replicas.trim() === "1" ? "" : form.replicas.trim()],
    ["--slot", form.cpu.trim() && `cpu=${form.cpu.trim()}`],
    ["--slot", form.mem.trim() && `mem=${form.mem.trim()}`],
    ["--slot", form.gpus.trim() && `cuda.device=${form.gpus.trim()}`],
    ...Object.keys(environOf(form.environ)).map((name): [string, string] => ["--env", `${name}=…`]),
    ["--description", form.description.trim()],
  ];
  const words = options.filter(([, value]) => value !== "").map(([name, value]) => `${name} ${quoted(value)}`);
  return [
    "headrace service create",
    quoted(form.name.trim() || "NAME"),
    ...words,
    ...(form.open_to_public ? ["--public"] : []),
  ].join(" ");
}

function quoted(text: string): string {
  return /^[\w./:=@%+,…-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
