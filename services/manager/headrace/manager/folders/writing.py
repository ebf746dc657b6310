"""A small file that one request writes, unless another one is there than the writer saw. All functions block."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from headrace.common.contracts.ids import FolderId
from headrace.manager.folders.arriving import IncomingFile
from headrace.manager.folders.errors import problems
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.partials import Partials
from headrace.manager.folders.tree import Check, Tree


class Written(NamedTuple):
    """What was written."""

    new: bool
    """Nothing was there before."""
    identity: FileIdentity
    sha256: str


def write_file(
    tree: Tree,
    partials: Partials,
    folder_id: FolderId,
    identifier: UUID,
    names: Sequence[str],
    content: bytes,
    check: Check,
) -> Written:
    """Write `content` to `names` as a whole, if `check` allows it of the file that is there.

    The check and the replacement are one step beside all other writers of this manager, and beside those of other managers that
    check. Raises Conflict, InsufficientStorage, and what `check` raises.
    """
    found: list[str | None] = []

    def checked(tag: str | None) -> None:
        check(tag)
        found.append(tag)

    incoming = IncomingFile(partials, identifier)
    try:
        partials.room.check("/".join(names), len(content))
        incoming.write(content)
        incoming.sync()
        assert incoming.identity is not None  # noqa: S101 - sync() sets it
        with partials.one_writer(folder_id), tree.directory(names[:-1], make=True) as parent:
            tree.place(parent, incoming.path, names, len(content), check=checked)
            with problems("/".join(names), storage=partials.room.root):
                os.fsync(parent)
        tree.sync_made()
    finally:
        incoming.forget()
    return Written(found[0] is None, incoming.identity, incoming.digest.hexdigest())
