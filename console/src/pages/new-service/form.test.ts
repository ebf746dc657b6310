import { expect, test } from "vitest";
import { commandOf, EMPTY, environOf, requestOf } from "@/pages/new-service/form";

test("what is empty is not in the request", () => {
  expect(requestOf({ ...EMPTY, name: " chat " })).toEqual({ name: "chat", replicas: 1 });
});

test("slots and variables are in the request as they were typed", () => {
  const form = {
    ...EMPTY,
    name: "chat",
    folder: "owls",
    cpu: "2",
    gpus: "0.5",
    environ: "A=b=c\n\nEMPTY=",
    replicas: "two",
  };
  expect(requestOf(form)).toEqual({
    name: "chat",
    folder: "owls",
    slots: { cpu: "2", "cuda.device": "0.5" },
    environ: { A: "b=c", EMPTY: "" },
  });
});

test("a line without a sign keeps its name", () => {
  expect(environOf("NAME")).toEqual({ NAME: "" });
});

test("a command quotes what a shell would read, and leaves values of variables out", () => {
  const form = { ...EMPTY, name: "chat", description: "it's; rm -rf", environ: "KEY=secret" };
  expect(commandOf(form)).toBe("headrace service create chat --env KEY=… --description 'it'\\''s; rm -rf'");
});
