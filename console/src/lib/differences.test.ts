import { expect, test } from "vitest";
import { differences } from "@/lib/differences";

test("objects are compared by their keys, lists as a whole", () => {
  const before = { image: "a", environ: { A: "1", B: "2" }, command: ["run"], health_check: null };
  const after = { image: "a", environ: { A: "1", C: "3" }, command: ["run", "fast"], health_check: { path: "/" } };
  expect(differences(before, after)).toEqual([
    { field: "command", before: ["run"], after: ["run", "fast"] },
    { field: "environ.B", before: "2", after: null },
    { field: "environ.C", before: null, after: "3" },
    { field: "health_check.path", before: null, after: "/" },
  ]);
});

test("the same documents do not differ", () => {
  expect(differences({ a: [1], b: null }, { b: null, a: [1] })).toEqual([]);
});
