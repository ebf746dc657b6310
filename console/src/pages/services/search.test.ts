import { expect, test } from "vitest";
import { isFiltered, parseServiceSearch } from "@/pages/services/search";

test("what is no filter is left out of an address", () => {
  expect(
    parseServiceSearch({ status: "healthy", phase: "dancing", q: "", mine: "yes", sort: "name", other: 1 }),
  ).toEqual({
    status: "healthy",
    sort: "name",
  });
});

test("an order or a project is no filter that hides services", () => {
  expect(isFiltered({ sort: "name", order: "desc", project: "owls" })).toBe(false);
  expect(isFiltered({ q: "owl" })).toBe(true);
});
