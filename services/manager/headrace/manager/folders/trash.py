"""Deleted folders that can be restored, below `<root>/.trash`. All functions block: call them in a thread.

They are moved there, so that requests that still write to one end, and nothing mounts it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.problems import NotFound
from headrace.common.runtime.files import sync_folder
from headrace.common.runtime.removal import remove_tree
from headrace.manager.folders.errors import problems

TRASH: Final = ".trash"


class TrashedTrees:
    """Files of deleted folders. Each function may be repeated, and finishes what one that was interrupted began."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / TRASH

    def put(self, folder_id: FolderId) -> None:
        """Move the folder's files here."""
        with problems("the folder", storage=self._root):
            self._path.mkdir(mode=0o700, exist_ok=True)
            self._move(self._root / str(folder_id), self._path / str(folder_id))

    def restore(self, folder_id: FolderId) -> None:
        """Move the folder's files back. Raises NotFound if there are none."""
        there = self._root / str(folder_id)
        with problems("the folder", storage=self._root):
            self._move(self._path / str(folder_id), there)
            if not there.is_dir():
                raise NotFound("the folder's files are not on the storage any more")

    def has(self, folder_id: FolderId) -> bool:
        """Return whether files of the folder are here."""
        return (self._path / str(folder_id)).exists()

    def remove(self, folder_id: FolderId) -> None:
        """Delete the folder's files; nothing happens if they are gone."""
        with problems("the folder"):
            remove_tree(self._path / str(folder_id))

    def _move(self, source: Path, target: Path) -> None:
        try:
            source.rename(target)
        except FileNotFoundError:  # it was moved before
            return
        sync_folder(target.parent)
        sync_folder(source.parent)
