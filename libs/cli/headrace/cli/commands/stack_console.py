"""Link to the web console of a local stack, as `headrace up` prints it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Final

LINK_S: Final = 30.0
_AGAIN = "headrace console"


def print_link(data: Path, line: Callable[[str], None]) -> None:
    """Print a link that logs in to the console of the stack on `data`, once, within a minute.

    A process of its own makes it: a client's imports would stay in the memory of `up` as long as that runs.
    """
    argv = [sys.executable, "-m", "headrace.cli", "--data", str(data), "--json", "console"]
    try:
        made = subprocess.run(argv, capture_output=True, text=True, timeout=LINK_S, check=False)
        url = str(json.loads(made.stdout)["url"])
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        line(f"  console    its link could not be made; `{_AGAIN}` makes one and says why not")
    else:
        line(f"  console    {url}")
        line(f"             (logs you in once, within a minute; another link: {_AGAIN})")
    line("")


def print_link_later(data: Path, line: Callable[[str], None]) -> None:
    """Do so in a thread: `up` is busy with its servers."""
    Thread(target=print_link, args=(data, line), name="console link", daemon=True).start()
