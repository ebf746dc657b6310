import { expect, test } from "vitest";
import { changedFields } from "@/lib/changed-fields";

test("nested fields that differ are named by their path, others left out", () => {
  expect(
    changedFields(
      { replicas: 1, spec: { slots: { cpu: "1", mem: "2" } } },
      { replicas: 1, spec: { slots: { cpu: "4" } } },
    ),
  ).toEqual([
    { field: "spec.slots.cpu", before: "1", after: "4" },
    { field: "spec.slots.mem", before: "2", after: null },
  ]);
});

test("a creation has no state before, a deletion none after", () => {
  expect(changedFields(null, { tags: [], quota: {} })).toEqual([
    { field: "tags", before: null, after: "[]" },
    { field: "quota", before: null, after: "{}" },
  ]);
  expect(changedFields({ name: "owl" }, null)).toEqual([{ field: "name", before: "owl", after: null }]);
});
