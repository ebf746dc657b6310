"""Registry of the data folders on which `headrace up` ran.

Other commands find a running stack by it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Final

from headrace.common.runtime.files import write_atomically
from headrace.embedded.state import StackState, read_state

_KEPT: Final = 20


class Stacks:
    """File with a list of the data folders of local stacks, the latest first. Nothing else depends on it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def folders(self) -> list[Path]:
        """Return the listed data folders; none if the file is unreadable."""
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [Path(item) for item in found if isinstance(item, str)] if isinstance(found, list) else []

    def remember(self, data: Path) -> None:
        """Put `data` first. An unwritable home is no error."""
        kept = [data, *(folder for folder in self.folders() if folder != data)][:_KEPT]
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps([str(folder) for folder in kept]) + "\n")

    def running(self) -> list[StackState]:
        """Return the stacks that run now, the latest first."""
        states = (read_state(folder) for folder in self.folders())
        return [state for state in states if state is not None]
