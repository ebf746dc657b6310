"""The web console in a real browser, used as a person does: by what is written on its buttons and beside its fields."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.api import Api
from tests.support.chromium import Page, chromium
from tests.support.wait import eventually

ROOT = Path(__file__).parents[2]
_FAULTS = """
window.faults = [];
addEventListener("error", (event) => window.faults.push(`error: ${event.message}`));
addEventListener("unhandledrejection", (event) => window.faults.push(`rejection: ${event.reason}`));
addEventListener("securitypolicyviolation", (event) => window.faults.push(`policy: ${event.violatedDirective}`));
"""
_FIND = """
window.nameOf = (one) => {
  const label = [...(one.labels ?? [])].map((label) => label.textContent).join(" ");
  return (one.getAttribute("aria-label") || label || one.getAttribute("title") || one.textContent || "").trim();
};
window.find = (name, kinds) => [...document.querySelectorAll(kinds)].filter((one) => {
  const labels = [...(one.labels ?? [])].map((label) => label.textContent);
  const names = [one.getAttribute("aria-label"), one.getAttribute("title"), one.textContent, ...labels];
  return !one.disabled && one.checkVisibility() && names.some((found) => found?.trim() === name);
}).at(-1);
"""
_CHECK = """
(async () => {
  const { violations } = await axe.run(document, {
    runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] },
    resultTypes: ["violations"],
  });
  const found = violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${one.help}: ${node.html.slice(0, 200)}`));
  const titles = document.querySelectorAll("h1").length;
  if (titles !== 1) found.push(`${titles} elements h1`);
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) found.push(`${scrollWidth} px wide in a window of ${clientWidth}`);
  return found;
})()
"""
_KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "End": ("End", 35, ""),
    " ": ("Space", 32, " "),
}
"""Code, number and text of keys."""
AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
_BUTTONS = "button, a, summary, [role=menuitem]"
_FIELDS = "input, textarea, select"


class Console:
    """The console in a tab. What is looked for is waited for."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def open(self, url: str) -> None:
        """Open an address of the console."""
        await self._page.open(url)

    async def enter(self, caller: Api) -> str:
        """Log in by a link that the caller asks for; return its code, which works no more."""
        code = str((await caller.call("POST", "/v1/login-codes", {}))["code"])
        await self.open(f"{caller.url}/console/login#code={code}")
        await self.sees("Services")
        return code

    async def press(self, name: str) -> None:
        """Press a button or link."""
        await self._found(name, _BUTTONS)
        await self._page.run(f"find({json.dumps(name)}, {json.dumps(_BUTTONS)}).click()")

    async def fill(self, label: str, text: str) -> None:
        """Write into a field, in place of what is in it."""
        await self._found(label, _FIELDS)
        await self._page.run(
            f"{{ const field = find({json.dumps(label)}, {json.dumps(_FIELDS)}); field.focus(); field.select?.(); }}"
        )
        await self._page.call("Input.insertText", text=text)

    async def check(self, label: str) -> None:
        """Click a check box with the mouse."""
        await self._found(label, "label")
        place = await self._page.run(
            f"(() => {{ const box = find({json.dumps(label)}, 'label'); box.scrollIntoView({{block: 'center'}});"
            " const at = box.getBoundingClientRect(); return [at.x + 8, at.y + at.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self._page.call(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )

    async def choose(self, label: str, value: str) -> None:
        """Choose a value in a list, by the value that it stands for."""
        await self._found(label, "select")
        chosen = f"[...field.options].some((one) => one.value === {json.dumps(value)})"
        place = f"find({json.dumps(label)}, 'select')"

        async def offered() -> bool:
            return bool(await self._page.run(f"{{ const field = {place}; field && {chosen} }}"))

        await eventually(offered, within_s=30, what=f"{value!r} in {label!r}")
        await self._page.run(
            f"{{ const field = {place}; field.value = {json.dumps(value)};"
            " field.dispatchEvent(new Event('change', {bubbles: true})); }"
        )

    async def offers(self, name: str) -> bool:
        """Return whether a button or link is there now."""
        return bool(await self._page.run(f"Boolean(find({json.dumps(name)}, {json.dumps(_BUTTONS)}))"))

    async def press_enter(self) -> None:
        """Press Enter where the focus is."""
        for kind in ("keyDown", "keyUp"):
            await self._page.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13
            )

    async def choose_files(self, selector: str, paths: Sequence[Path]) -> None:
        """Choose files, or a directory, in a file field."""
        root = (await self._page.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self._page.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self._page.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    async def sees(self, text: str, *, within_s: float = 30) -> None:
        """Wait until the page has the text."""

        async def there() -> bool:
            return text in await self.text()

        try:
            await eventually(there, within_s=within_s)
        except AssertionError:
            raise AssertionError(f"{text!r} is not on the page after {within_s} s, but: {await self.text()}") from None

    async def unsees(self, text: str, *, within_s: float = 30) -> None:
        """Wait until the page has the text no more."""

        async def gone() -> bool:
            return text not in await self.text()

        await eventually(gone, within_s=within_s, what=f"{text!r} goes")

    async def value(self, label: str) -> str:
        """Return what is in a field."""
        await self._found(label, _FIELDS)
        return str(await self._page.run(f"find({json.dumps(label)}, {json.dumps(_FIELDS)}).value"))

    async def text(self) -> str:
        """Return what can be read on the page."""
        return str(await self._page.run("document.body.innerText"))

    async def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        return await self._page.run(script)

    async def key(self, key: str, *, shift: bool = False, control: bool = False) -> None:
        """Press a key where the focus is: `Tab`, `Enter`, `Escape`, an arrow, or a character."""
        known = _KEYS.get(key)
        code, number, text = known or ("", ord(key.upper()), key)
        pressed = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 * shift + 2 * control}
        await self._page.call(
            "Input.dispatchKeyEvent", type="keyDown", **pressed, **({"text": text} if text and not control else {})
        )
        await self._page.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    async def type(self, text: str) -> None:
        """Write where the focus is."""
        await self._page.call("Input.insertText", text=text)

    async def tab_to(self, name: str) -> None:
        """Move the focus by Tab to what has the name. AssertionError after a hundred steps."""
        passed = []
        for _ in range(100):
            await self.key("Tab")
            passed.append(str(await self._page.run("nameOf(document.activeElement)")))
            if passed[-1] == name:
                assert await self._page.run("document.activeElement.checkVisibility()"), f"{name!r} cannot be seen"
                return
        raise AssertionError(f"{name!r} is not reached by Tab, but: {passed}")

    async def shows(self, width: int, height: int, theme: str = "light") -> None:
        """Be a window of this size, of a system with this theme."""
        await self._page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await self._page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    async def settled(self) -> None:
        """Wait until the page has its title and waits for nothing that it shows."""

        async def there() -> bool:
            return bool(
                await self._page.run("document.querySelector('h1') && !document.querySelector('[data-loading]')")
            )

        await eventually(there, within_s=30, what="the page has what it shows")

    async def inaccessible(self) -> list[str]:
        """Return what breaks WCAG 2.2 AA on the page, as far as axe finds it, and what is wider than the window."""
        if not await self._page.run("Boolean(window.axe)"):
            await self._page.run(AXE.read_text() + ";true")
        found = await self._page.run(_CHECK)
        return [str(one) for one in found]

    async def cookies(self) -> list[str]:
        """Return the browser's cookies of the page, as name=value; with HttpOnly at the end of those that scripts do not see."""
        found = (await self._page.call("Network.getCookies"))["cookies"]
        return [f"{one['name']}={one['value']};{'HttpOnly' if one['httpOnly'] else ''}" for one in found]

    async def framed(self) -> list[str]:
        """Return what the frames of the page show: their addresses, or that of the error in their place."""
        tree = (await self._page.call("Page.getFrameTree"))["frameTree"]
        return [
            "refused" if one["frame"].get("unreachableUrl") else str(one["frame"]["url"])
            for one in tree.get("childFrames", [])
        ]

    async def picture(self) -> bytes:
        """Return the window's content as PNG."""
        return base64.b64decode((await self._page.call("Page.captureScreenshot", format="png"))["data"])

    async def thread_s(self) -> float:
        """Return the CPU seconds of the page's main thread since it was opened: not those of others on a busy machine."""
        metrics = (await self._page.call("Performance.getMetrics"))["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

    async def faults(self) -> list[str]:
        """Return errors of scripts, what the policy of the page forbade, and what was asked of another origin."""
        asked = "performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith(location.origin))"
        found = await self._page.run(f"[...window.faults, ...{asked}.map((name) => `other origin: ${{name}}`)]")
        return [str(one) for one in found]

    async def _found(self, name: str, kinds: str) -> None:
        async def there() -> bool:
            return bool(await self._page.run(f"Boolean(find({json.dumps(name)}, {json.dumps(kinds)}))"))

        try:
            await eventually(there, within_s=30)
        except AssertionError:
            raise AssertionError(f"{name!r} is not among {kinds} after 30 s, but: {await self.text()}") from None


@asynccontextmanager
async def console(folder: Path) -> AsyncIterator[Console]:
    """A browser with an empty profile in `folder`."""
    async with chromium(folder) as page:
        await page.call("Page.enable")
        await page.call("DOM.enable")
        await page.call("Performance.enable", timeDomain="threadTicks")
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=_FAULTS + _FIND)
        yield Console(page)


async def built_console() -> None:
    """Build the console, where that of the sources is not there. AssertionError with what the build printed."""
    await _script("build")


async def installed_axe() -> None:
    """Install the packages of the console's checks, where they are not there. AssertionError with what that printed."""
    await _script("packages")


async def _script(what: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "scripts" / "console.py"),
        what,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode(errors="replace")[-4000:]
