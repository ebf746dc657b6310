"""The web console in a real browser, used as a person does: by what is written on its buttons and beside its fields."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
window.find = (name, kinds) => [...document.querySelectorAll(kinds)].filter((one) => {
  const labels = [...(one.labels ?? [])].map((label) => label.textContent);
  const names = [one.getAttribute("aria-label"), one.getAttribute("title"), one.textContent, ...labels];
  return !one.disabled && one.checkVisibility() && names.some((found) => found?.trim() === name);
}).at(-1);
"""
_BUTTONS = "button, a, summary, [role=menuitem]"
_FIELDS = "input, textarea, select"


class Console:
    """The console in a tab. What is looked for is waited for."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def open(self, url: str) -> None:
        """Open an address of the console."""
        await self._page.open(url)

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

    async def enter(self) -> None:
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

    async def text(self) -> str:
        """Return what can be read on the page."""
        return str(await self._page.run("document.body.innerText"))

    async def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        return await self._page.run(script)

    async def faults(self) -> list[str]:
        """Return errors of scripts, what the policy of the page forbade, and what was asked of another origin."""
        asked = "performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith(location.origin))"
        found = await self._page.run(f"[...window.faults, ...{asked}.map((name) => `other origin: ${{name}}`)]")
        return [str(one) for one in found]

    async def _found(self, name: str, kinds: str) -> None:
        async def there() -> bool:
            return bool(await self._page.run(f"Boolean(find({json.dumps(name)}, {json.dumps(kinds)}))"))

        await eventually(there, within_s=30, what=f"{name!r} among {kinds}")


@asynccontextmanager
async def console(folder: Path) -> AsyncIterator[Console]:
    """A browser with an empty profile in `folder`."""
    async with chromium(folder) as page:
        await page.call("Page.enable")
        await page.call("DOM.enable")
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=_FAULTS + _FIND)
        yield Console(page)


async def built_console() -> None:
    """Build the console, where that of the sources is not there. AssertionError with what the build printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "scripts" / "console.py"),
        "build",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode(errors="replace")[-4000:]
