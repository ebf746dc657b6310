import { render } from "@testing-library/react";
import { expect, test } from "vitest";
import { Markdown } from "@/chat/markdown";

const shown = (text: string) => render(<Markdown text={text} />).container;

test("what a model writes as HTML is text", () => {
  const page = shown('Hello <img src=x onerror="alert(1)"> <script>alert(1)</script>');
  expect(page.querySelector("img, script")).toBeNull();
  expect(page.textContent).toContain('<img src=x onerror="alert(1)">');
});

test("links go to the web only, and images are links", () => {
  const page = shown(
    "[a](https://example.com) [b](javascript:alert(1)) ![c](https://example.com/c.png) [d](data:text/html,x)",
  );
  expect([...page.querySelectorAll("a")].map((link) => link.getAttribute("href"))).toEqual([
    "https://example.com",
    "https://example.com/c.png",
  ]);
  expect([...page.querySelectorAll("a")].every((link) => link.rel === "noopener noreferrer")).toBe(true);
  expect(page.querySelector("img")).toBeNull();
});

test("code, lists and tables are such", () => {
  const page = shown("```py\nprint(1)\n```\n\n- one\n- **two**\n\n| a | b |\n|---|---|\n| 1 | 2 |");
  expect(page.querySelector("pre")?.textContent).toBe("print(1)");
  expect([...page.querySelectorAll("li")].map((item) => item.textContent)).toEqual(["one", "two"]);
  expect(page.querySelectorAll("td").length).toBe(2);
});

test("characters that turn the direction of text are seen", () => {
  expect(shown("safe \u202egnp.exe").textContent).toContain("\\u202e");
});
