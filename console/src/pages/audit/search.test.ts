import { expect, test } from "vitest";
import { filterOf, parseAuditSearch } from "@/pages/audit/search";

test("what is no filter is left out of an address", () => {
  expect(parseAuditSearch({ actor: "ann", range: "5y", since: "yesterday", other: 1, action: "" })).toEqual({
    actor: "ann",
  });
});

test("a range begins at a whole minute; a time that is given wins", () => {
  const now = Date.parse("2026-12-01T10:00:42Z");
  expect(filterOf({ range: "1h" }, "vision", now)).toMatchObject({
    project: "vision",
    since: "2026-12-01T09:00:00.000Z",
  });
  expect(filterOf({ since: "2026-11-01T00:00:00Z" }, undefined, now).since).toBe("2026-11-01T00:00:00Z");
  expect(filterOf({ range: "all" }, undefined, now).since).toBeUndefined();
});
