import { expect, test } from "vitest";
import { entryOf, matching } from "@/palette/entries";

const KINDS = { service: "Service", folder: "Folder", project: "Project", machine: "Machine", user: "User" };

test("every word that was typed is in the name", () => {
  const entries = ["New service", "New folder", "Services"].map((name) => ({ id: name, name, about: "", to: "/" }));
  expect(matching(entries, "new SER").map((entry) => entry.name)).toEqual(["New service"]);
  expect(matching(entries, " ")).toHaveLength(3);
});

test("a thing leads to its page, its name quoted", () => {
  expect(entryOf({ kind: "folder", id: "1", name: "a b", project: "vision", description: "" }, KINDS)).toEqual({
    id: "folder 1",
    name: "a b",
    about: "Folder · vision",
    to: "/folders/a%20b",
  });
});
