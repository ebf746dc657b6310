"""Writing the agent's own files: whole or not at all, and never in the way of what serves."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace `path`, mode 0600; a crash leaves the old or the new. `durable`: also a crash of the machine.

    Raises OSError, with the old file in place and nothing of the new one left: on a full disk a part would only take room.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(fd)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise
