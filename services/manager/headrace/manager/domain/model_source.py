"""Model sources: what a model URI leads to, at one version. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

from headrace.common.contracts.ids import FolderId, ImportId
from headrace.common.contracts.manifest import MAX_MANIFEST_ENTRIES
from headrace.common.contracts.problems import InvalidRequest
from headrace.manager.domain.paths import split_path

_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+", re.ASCII)
_LONGEST_STEM: Final = 54


class SourceError(Exception):
    """A source that cannot be used. `lasting`: a repetition does not help before somebody changes something."""

    def __init__(self, text: str, *, lasting: bool) -> None:
        super().__init__(text)
        self.text = text
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source. What the source does not tell is empty."""

    path: str
    size_bytes: int
    url: str
    etag: str = ""
    """Strong entity tag: the file is continued and verified by it."""
    sha256: str = ""
    git_sha1: str = ""
    """Digest of the file as git's blob."""


@dataclass(frozen=True)
class Listing:
    """All files of a source at one version, which never has others."""

    version: str
    """Commit of a hub; digest of a bucket's listing; entity tag or date of a file."""
    files: tuple[SourceFile, ...]

    @property
    def size_bytes(self) -> int:
        """Sum of the files' sizes."""
        return sum(file.size_bytes for file in self.files)

    @property
    def top_names(self) -> tuple[str, ...]:
        """Names of the files that lie in no directory, sorted."""
        return tuple(sorted(file.path for file in self.files if "/" not in file.path))

    def check(self) -> Listing:
        """Return itself. Raises SourceError for files that no folder can have."""
        if not self.files:
            raise SourceError("the source has no files", lasting=True)
        if len(self.files) > MAX_MANIFEST_ENTRIES:
            text = f"the source has {len(self.files)} files; allowed: {MAX_MANIFEST_ENTRIES}"
            raise SourceError(text, lasting=True)
        paths = {file.path for file in self.files}
        if len(paths) < len(self.files):
            raise SourceError("the source lists a path twice", lasting=True)
        for path in paths:
            try:
                names = split_path(path)
            except InvalidRequest as problem:
                raise SourceError(
                    f"the source has a file that no folder can have: {problem.detail}", lasting=True
                ) from None
            if any("/".join(names[:depth]) in paths for depth in range(1, len(names))):
                raise SourceError(f"the source has {path[:200]} below something that is a file", lasting=True)
        return self


def import_id(folder_id: FolderId, version: str) -> ImportId:
    """Return the id of the import of this version into the folder: the same for all who ask for it."""
    return ImportId(uuid5(UUID(str(folder_id)), version))


def folder_name(uri: str) -> str:
    """Return the name of the folder that holds the files of a URI."""
    stem = _NOT_IN_NAMES.sub("-", uri.partition("?")[0].lower()).strip("-")[:_LONGEST_STEM].strip("-")
    return f"{stem}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}"
