"""Files of a snapshot as managers serve them to agents over HTTP: paths, and the request for parts of files.

The answer to that is the bytes of all parts, one after the other: many small files are one round trip, and a range of a large
one is no other request.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from headrace.common.contracts.manifest import ManifestPath

MANIFEST_PATH: Final = "/agents/v1/snapshots/{snapshot_id}/manifest"
PARTS_PATH: Final = "/agents/v1/snapshots/{snapshot_id}/parts"
MAX_PARTS: Final = 500
MAX_PARTS_BYTES: Final = 32 * 2**20


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class FilePart(_Body):
    """Range of bytes of a file of the snapshot."""

    path: ManifestPath
    offset: NonNegativeInt = 0
    length: Annotated[int, Field(ge=0, le=MAX_PARTS_BYTES)]


class FileParts(_Body):
    """Request for parts of files, in this order; MAX_PARTS_BYTES in all."""

    parts: Annotated[tuple[FilePart, ...], Field(min_length=1, max_length=MAX_PARTS)]

    @property
    def size_bytes(self) -> int:
        """Length of the answer."""
        return sum(part.length for part in self.parts)
