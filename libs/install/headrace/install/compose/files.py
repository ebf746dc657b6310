"""Files of the compose project (`project/`, also deploy/compose.yaml): the same for every installation."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

VERSION: Final = version("headrace")
"""Tag of the images: those of the version that made the files."""
_PROJECT: Final = Path(__file__).parent / "project"


def text(name: str) -> str:
    """Return the content of a file of the project."""
    return (_PROJECT / name).read_text(encoding="utf-8")
