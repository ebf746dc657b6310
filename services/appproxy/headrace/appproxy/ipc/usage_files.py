"""Usage on disk: batches that no manager has acknowledged, one file each.

The parent writes them, and a worker that outlives its parent writes the rest of what it counted; the next parent sends both.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, get_args
from uuid import UUID

import structlog

from headrace.appproxy.ipc.usage import UsageCounts
from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.messages.usage import UsageBatch, UsageRow
from headrace.common.contracts.problems import MalformedMessage
from headrace.common.contracts.vocabulary import CallerKind
from headrace.common.runtime.files import remove_leftovers, write_atomically

log = structlog.get_logger()
FOLDER: Final = "usage"
"""Folder of the batches, within the data folder."""
_HOUR_S: Final = 3600
_MAX_BYTES: Final = 8 * 1024 * 1024
_KINDS: Final = frozenset(get_args(CallerKind))


class UsageFiles:
    """Folder of batches. Names sort in the order in which their writers began, and of each by number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Create the folder (0700) if needed, and remove what writers of another time left half-written. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_leftovers(self._folder)

    def write(self, batch: UsageBatch) -> None:
        """Write the batch, or replace it; it survives a power loss then. Raises OSError."""
        write_atomically(self._folder / file_name(batch.writer, batch.sequence), batch.encode())

    def names(self) -> list[str]:
        """Return the names of all batches, oldest first. Raises OSError."""
        return sorted(path.name for path in self._folder.glob("*.json"))

    def read(self, name: str) -> UsageBatch | None:
        """Return the batch of this name. None: it is gone, or unreadable, and then put aside under another name."""
        path = self._folder / name
        try:
            return UsageBatch.decode(_content(path))
        except FileNotFoundError:
            return None
        except (OSError, MalformedMessage) as error:
            log.warning("stored_usage_refused", file=str(path), why=str(error))
            path.rename(path.with_suffix(".refused"))
            return None

    def remove(self, batch: UsageBatch) -> None:
        """Remove an acknowledged batch. Raises OSError; a manager knows it when it is sent once more."""
        (self._folder / file_name(batch.writer, batch.sequence)).unlink(missing_ok=True)


def batch_of(proxy_id: ProxyId, writer: UUID, sequence: int, counts: Iterable[UsageCounts]) -> UsageBatch:
    """Return counts as a message."""
    return UsageBatch(proxy_id=proxy_id, writer=writer, sequence=sequence, rows=tuple(map(_row, counts)))


def _row(counts: UsageCounts) -> UsageRow:
    kind, _, caller_id = counts.caller.partition(":")
    return UsageRow(
        hour=datetime.fromtimestamp(counts.hour * _HOUR_S, UTC),
        service_id=counts.service_id,
        revision_id=counts.revision_id,
        caller=kind if kind in _KINDS else "other",
        caller_id=UUID(caller_id) if caller_id else None,
        requests=counts.requests,
        errors=counts.errors,
        refused=counts.refused,
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        estimated_tokens=counts.estimated_tokens,
        audio_ms=counts.audio_ms,
        first_at=datetime.fromtimestamp(counts.began_s, UTC),
        last_at=datetime.fromtimestamp(counts.last_s, UTC),
    )


def _content(path: Path) -> bytes:
    """Return what the file has. Raises OSError, MalformedMessage."""
    if path.stat().st_size > _MAX_BYTES:
        raise MalformedMessage(f"it is larger than {_MAX_BYTES} bytes")
    return path.read_bytes()


def file_name(writer: UUID, sequence: int) -> str:
    """Return the name of a batch's file."""
    return f"{writer.hex}-{sequence:010d}.json"
