import { expect, test } from "vitest";
import { MOST_FILES, type Send, type UploadFile, UploadQueue } from "@/lib/upload-queue";

const file = (path: string, size = 4): UploadFile => ({ path, file: new File(["x".repeat(size)], path) });

/** Sends when it is told to. */
class Sender {
  readonly begun: string[] = [];
  private readonly ends = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();

  readonly send: Send = ({ path }, sent, signal) => {
    this.begun.push(path);
    sent(1);
    return new Promise((resolve, reject) => {
      this.ends.set(path, { resolve, reject });
      signal.addEventListener("abort", () => reject(new Error("aborted")));
    });
  };

  async finish(path: string, error?: string): Promise<void> {
    const end = this.ends.get(path);
    if (error) end?.reject(new Error(error));
    else end?.resolve();
    await settled();
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

test("three are sent at a time, and what was sent is counted", async () => {
  const sender = new Sender();
  const queue = new UploadQueue(sender.send);
  queue.add(["a", "b", "c", "d"].map((path) => file(path)));
  expect([sender.begun, queue.summary().sent]).toEqual([["a", "b", "c"], 3]);
  await sender.finish("b");
  expect(sender.begun).toEqual(["a", "b", "c", "d"]);
  expect(queue.summary()).toMatchObject({ files: 4, bytes: 16, done: 1, sent: 7 });
  for (const path of ["a", "c", "d"]) await sender.finish(path);
  expect(queue.summary()).toMatchObject({ done: 4, sent: 16, sending: null });
});

test("one that fails is told, keeps nobody from his turn, and is tried again when one goes on", async () => {
  const sender = new Sender();
  const queue = new UploadQueue(sender.send);
  queue.add([file("a"), file("b")]);
  await sender.finish("a", "no room");
  await sender.finish("b");
  expect(queue.summary()).toMatchObject({ done: 1, sent: 4, failures: 1, failed: [{ path: "a", error: "no room" }] });
  queue.resume();
  await sender.finish("a");
  expect(queue.summary()).toMatchObject({ done: 2, sent: 8, failures: 0, failed: [] });
});

test("a pause stops what is sent, and nothing begins until one goes on", async () => {
  const sender = new Sender();
  const queue = new UploadQueue(sender.send);
  queue.add([file("a")]);
  queue.pause();
  await settled();
  queue.add([file("b")]);
  expect([sender.begun, queue.summary().paused, queue.summary().failures]).toEqual([["a"], true, 0]);
  queue.resume();
  expect(sender.begun).toEqual(["a", "a", "b"]);
});

test("files over the bound are not taken", () => {
  const queue = new UploadQueue(() => new Promise(() => {}));
  const one = file("a", 0);
  expect(queue.add(Array.from({ length: MOST_FILES + 5 }, () => ({ ...one })))).toBe(MOST_FILES);
  expect(queue.add([one])).toBe(0);
});
