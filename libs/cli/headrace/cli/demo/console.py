"""Web console of the demo: built in the background once the demo has made its call, and told when it is there."""

from __future__ import annotations

import os
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from headrace.cli.demo.children import Program
from headrace.cli.demo.demo_output import DemoOutput
from headrace.sdk import Client, HeadraceError

_ANSWER_S: Final = 5.0
_STOP_S: Final = 10.0


class ConsoleBuild:
    """`make console` at low priority. Where it fails, the demo goes on without a console, and says why."""

    def __init__(self, root: Path, url: str, key: str, teller: DemoOutput, processes: ExitStack) -> None:
        """Start it, unless HEADRACE_CONSOLE is none; `processes` ends it. `url`, `key`: of the demo's manager."""
        self._url, self._key = url, key
        self._teller = teller
        self._program: Program | None = None
        if os.environ.get("HEADRACE_CONSOLE") != "none":
            argv = (sys.executable, str(root / "scripts" / "console.py"), "build", "--background")
            self._program = processes.enter_context(
                Program("the web console", argv, teller.detail, stop_within_s=_STOP_S)
            )

    def look(self) -> None:
        """Print the link once it is built and served; call it again until then."""
        if self._program is None or self._program.exit_code is None:
            return
        if self._program.wait() != 0:
            self._program = None
            self._teller.plain("The web console was not built, as is said above; `make console` tries it again.")
        elif self._is_served() and (link := self._link()) is not None:
            self._program = None
            self._teller.plain(f"Web console: {link}")
            self._teller.plain("(logs you in once, within a minute; another link: headrace console)")

    def _is_served(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self._url}/console/", timeout=_ANSWER_S) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _link(self) -> str | None:
        try:
            with Client(self._url, self._key) as client:
                return f"{client.url}{client.logins.create_code().path}"
        except HeadraceError:  # the manager restarts, perhaps
            return None
