import { expect, test } from "vitest";
import { formOf, gauge, NEW_RULE, specOf } from "@/pages/service/scaling/rule-form";

test("a rule is a form and back", () => {
  const spec = specOf({ ...NEW_RULE, threshold: "4.5", max: "8", step: "-1" });
  expect(spec).toMatchObject({ threshold: 4.5, step: -1, min_replicas: 1, max_replicas: 8, cooldown_s: 300 });
  expect(specOf(formOf(spec))).toEqual(spec);
});

test("what is empty has its default, or is left to the API to refuse", () => {
  expect(specOf({ ...NEW_RULE, min: "", cooldown: "" })).toMatchObject({ min_replicas: 1, cooldown_s: 300 });
  expect(specOf({ ...NEW_RULE, threshold: "many" }).threshold).toBe("many");
});

test.each([
  [2, 5, { value: 20, threshold: 50 }],
  [20, 5, { value: 91, threshold: 23 }],
  [0, 0, { value: 0, threshold: 0 }],
  [-1, 5, { value: 0, threshold: 55 }],
])("%d with a threshold of %d is on the line", (observed, threshold, places) =>
  expect(gauge(observed, threshold)).toEqual(places),
);
