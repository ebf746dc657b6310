"""Log of `headrace up` itself: JSON lines in a bounded file, beside the logs of its child processes."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from headrace.common.obs.logging import configure_logging
from headrace.embedded.private import data_folder, private_folder

_MAX_BYTES: Final = 5 * 1024 * 1024


def supervisor_log(file: Path) -> None:
    """Write this process's log to `file`. Raises EmbeddedError if the data folder is not writable."""
    data_folder(file.parent.parent)
    private_folder(file.parent)
    configure_logging("up", log_format="json")
    root = logging.getLogger()
    handler = RotatingFileHandler(file, maxBytes=_MAX_BYTES, backupCount=2, encoding="utf-8")
    handler.setFormatter(root.handlers[0].formatter)
    root.handlers[:] = [handler]
