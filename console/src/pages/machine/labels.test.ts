import { expect, test } from "vitest";
import { labelChange, labelText } from "@/pages/machine/labels";

test("what was taken out of the text is taken away, what differs is set", () => {
  const before = { rack: "b4", zone: "north", disk: "nvme" };
  expect(labelChange(before, "rack=b5\nzone = north\n\nurl=a=b")).toEqual({ disk: null, rack: "b5", url: "a=b" });
});

test("the text of labels changes nothing", () => {
  const before = { rack: "b4", zone: "" };
  expect(labelChange(before, labelText(before))).toBeNull();
});
