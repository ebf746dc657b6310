"""Data folders for real servers, outside pytest's own folders: an ordinary user must be able to reach them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wait import until
from tests.support.worlds.processes import living


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that does not exist yet, in a folder that everybody may enter."""
    parent = Path(tempfile.mkdtemp(prefix="hr-embedded-"))
    parent.chmod(0o755)
    yield parent / "data"
    until(lambda: living(parent) == {}, "all processes gone")
    shutil.rmtree(parent)
