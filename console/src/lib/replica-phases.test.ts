import { expect, test } from "vitest";
import { phasesOf } from "@/lib/replica-phases";

const at = (second: number) => new Date(second * 1000).toISOString();

test("each phase lasts until the next one, the last until now", () => {
  const replica = { created_at: at(0), placed_at: at(3), started_at: at(10), healthy_at: null };
  expect(phasesOf(replica, 15_000)).toEqual([
    { name: "waiting", seconds: 3, now: false },
    { name: "preparing", seconds: 7, now: false },
    { name: "starting", seconds: 5, now: true },
  ]);
});

test("of a replica that ended the last phase lasts until its end, also where some were not seen", () => {
  const replica = { created_at: at(0), healthy_at: at(4), ended_at: at(10) };
  expect(phasesOf(replica, 99_000)).toEqual([
    { name: "waiting", seconds: 4, now: false },
    { name: "serving", seconds: 6, now: false },
  ]);
});
