import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { changesOf, conflictsOf, requestOf, type Settings, sectionsOf, textAt } from "@/pages/service/settings/changes";
import { FIELDS, type Kind } from "@/pages/service/settings/fields";
import { parsed, textOf } from "@/pages/service/settings/values";

const SETTINGS: Settings = {
  description: "owls",
  limits: { max_queued: 1000, max_body_bytes: 5 },
  rollout: { strategy: "rolling" },
  spec: { runtime: "custom", environ: { A: "b" }, image: "owls:1" },
};

test.each<[Kind, unknown, string]>([
  ["list", ["a", "b"], "a\nb"],
  ["pairs", { A: "b=c", B: "two\nlines", C: "" }, 'A=b=c\nB="two\\nlines"\nC='],
  [
    "steps",
    [
      { replicas: "10%", pause_s: 300 },
      { replicas: 2, pause_s: null },
    ],
    "10%:300\n2",
  ],
  [
    "mounts",
    [
      { folder: "notes", target: "/notes", read_only: false },
      { folder: "data", target: null, read_only: true },
    ],
    "notes:/notes:rw\ndata",
  ],
  ["slots", { cpu: "0.5", mem: "2g" }, "cpu=0.5\nmem=2g"],
  ["amount", "25%", "25%"],
  ["amount", 3, "3"],
  ["number", 1.25, "1.25"],
  ["check", true, "true"],
])("%s: a value is a text and back", (kind, value, text) => {
  expect(textOf(kind, value)).toBe(text);
  expect(parsed({ kind }, text)).toEqual(value);
});

test("memory is written in whole units where it is some", () => {
  expect(textOf("slots", { mem: "2147483648", "cuda.mem": "7" })).toBe("mem=2g\ncuda.mem=7");
  expect(textOf("slots", { mem: "1000" })).toBe("mem=1000");
});

test("a command in words is written as a shell reads it", () => {
  expect(textOf("command", ["serve", "--name", "it's"])).toBe("serve --name 'it'\\''s'");
});

test("a text that is no number is sent as it is", () => {
  expect(parsed({ kind: "number" }, "many")).toBe("many");
});

test("only what was changed is sent, of the spec all", () => {
  const edits = changesOf(SETTINGS, { description: "owls", "limits.max_queued": "7", "spec.environ": "A=c" });
  expect(requestOf(SETTINGS, edits)).toEqual({
    limits: { max_queued: 7 },
    spec: { runtime: "custom", environ: { A: "c" }, image: "owls:1" },
  });
  expect([...sectionsOf(edits)]).toEqual(["spec", "limits"]);
});

test("an emptied field has its value of a new service, or none", () => {
  const emptied = { description: "", "limits.max_queued": "", "limits.max_body_bytes": "", "spec.image": "" };
  const request = requestOf(SETTINGS, emptied);
  expect(request).toMatchObject({ description: null, limits: { max_queued: 1000, max_body_bytes: null } });
  expect(JSON.parse(JSON.stringify(request)).spec).toEqual({ runtime: "custom", environ: { A: "b" } });
});

test("what somebody else changed is beside what was typed", () => {
  const theirs = { ...SETTINGS, description: "theirs", rollout: { strategy: "canary" } };
  expect(conflictsOf(SETTINGS, theirs, { description: "mine" })).toEqual([
    { id: "description", before: "owls", theirs: "theirs", yours: "mine" },
    { id: "rollout.strategy", before: "rolling", theirs: "canary", yours: null },
  ]);
});

test("fields are those of the API, and what they are reset to is its default", () => {
  const schemas = JSON.parse(readFileSync("../tests/contracts/openapi.json", "utf8")).components.schemas;
  const groups: Record<string, string> = {
    balance: "BalanceSettings",
    limits: "LimitSettings",
    caller_limits: "CallerLimits",
    cors: "CorsSettings",
    rollout: "RolloutSettings",
    spec: "RevisionSpec-Input",
  };
  const has = (id: string) => FIELDS.some((field) => field.id === id);
  for (const [group, schema] of Object.entries(groups))
    for (const [name, property] of Object.entries<{ default?: unknown }>(schemas[schema].properties)) {
      if (name === "cluster_size") continue; // always 1
      expect(has(`${group}.${name}`), `${group}.${name}`).toBe(true);
      if (group === "spec") continue;
      const field = FIELDS.find(({ id }) => id === `${group}.${name}`);
      expect(field && "reset" in field ? field.reset : undefined, `${group}.${name}`).toEqual(property.default);
    }
  const elsewhere = ["message", "open_to_public", "refresh_secrets", "replicas"];
  for (const name of Object.keys(schemas.UpdateService.properties))
    expect(has(name) || name in groups || elsewhere.includes(name), name).toBe(true);
  expect(textAt(SETTINGS, "spec.model")).toBe("");
});
