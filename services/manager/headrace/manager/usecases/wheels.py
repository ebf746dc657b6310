"""Wheels that machines which join install Headrace from, out of one folder of the manager's."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from headrace.common.contracts.problems import NotFound

MAX_WHEELS: Final = 1000
"""Files of the folder that are listed."""
_WHEEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}\.whl")


class Wheels:
    """Folder of wheels (`wheels_dir`), for anybody: they hold no secret."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def names(self) -> list[str]:
        """Return the wheels' file names. Raises NotFound where there is no folder of them."""
        return await asyncio.to_thread(self._names)

    async def file(self, name: str) -> Path:
        """Return the path of a wheel. Raises NotFound."""
        if self._folder is None or _WHEEL.fullmatch(name) is None:
            raise NotFound(f"there is no wheel {name}")
        path = self._folder / name
        if not await asyncio.to_thread(_is_plain_file, path):
            raise NotFound(f"there is no wheel {name}")
        return path

    def _names(self) -> list[str]:
        if self._folder is None:
            raise NotFound(
                "this manager serves no wheels; its setting wheels_dir names a folder of them (make wheelhouse)"
            )
        try:
            found = sorted(one.name for one in self._folder.iterdir() if _WHEEL.fullmatch(one.name))
        except OSError as error:
            raise NotFound(f"wheels_dir cannot be read: {error.strerror or error}") from None
        return found[:MAX_WHEELS]


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
