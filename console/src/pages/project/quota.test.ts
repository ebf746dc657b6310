import { expect, test } from "vitest";
import { amount, quotaChange, quotaRows, servicesOff } from "@/pages/project/quota";

test("slots of the quota and of what is used are one list, folders last", () => {
  expect(quotaRows({ used: { files: "3", cpu: "2" }, limits: { tpu: "1", services: "5", cpu: "8" } })).toEqual([
    { slot: "services", used: "0", limit: "5" },
    { slot: "cpu", used: "2", limit: "8" },
    { slot: "tpu", used: "0", limit: "1" },
    { slot: "files", used: "3", limit: null },
  ]);
});

test("an emptied limit goes, an equal one stays out of the change", () => {
  expect(quotaChange({ cpu: "8", mem: "1" }, { cpu: "8", mem: " ", "cuda.device": "4" })).toEqual({
    mem: null,
    "cuda.device": "4",
  });
  expect(quotaChange({ cpu: "8" }, { cpu: "8" })).toBeNull();
});

test("no services at all is a switch", () => {
  expect(servicesOff({ quota: { services: "0" } })).toBe(true);
  expect(servicesOff({ quota: { services: "1" } })).toBe(false);
  expect(servicesOff({ quota: null })).toBe(false);
});

test("storage counts by 1000, memory by 1024", () => {
  expect(amount("storage", "2000000000")).toBe("2 GB");
  expect(amount("mem", String(2 * 1024 ** 3))).toBe("2 GiB");
});
