"""File format of a backup: a tar archive (pax) that says at its start what it is, and at its end the SHA-256 of all before.

    backup.json                     Manifest
    secrets.json                    Secrets
    database/<table>/<number>.gz    rows in PostgreSQL's COPY text format; the parts of a table, one after the other, are whole
    folders/<path>                  what lies below the managers' folders_root
    end.json                        End

Everybody can look into it with `tar`. All functions block.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, BinaryIO, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.backup.errors import BackupError

MANIFEST: Final = "backup.json"
SECRETS: Final = "secrets.json"
END: Final = "end.json"
DATABASE: Final = "database/"
FOLDERS: Final = "folders/"
BLOCK: Final = 1 << 20
"""Bytes that are read and written at once."""
MAX_DOCUMENT_BYTES: Final = 64 << 20
"""Of backup.json, secrets.json and end.json: `installation.json` with a thousand machines has less than 1 MiB."""
MAX_PART_BYTES: Final = 64 << 20
"""Of a part of a table, compressed and not; parts are written as soon as they have `database.PART_BYTES`."""


class FolderContent(StrEnum):
    """What a backup holds of model folders."""

    WHOLE = "whole"
    REFERENCE = "reference"
    """Their names and sizes, which are in the database: their files are kept by whoever keeps the storage."""


class Manifest(BaseModel):
    """What a backup is."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    format: Literal["headrace-backup"] = "headrace-backup"
    v: Literal[1] = 1
    made_at: datetime
    version: str
    """Version of Headrace that made it."""
    schema_number: int
    """Number of the newest migration of its database."""
    schema_checksums: Mapping[int, str]
    tables: Mapping[str, tuple[str, ...]]
    """Table → its columns, in the order of the rows."""
    folders: FolderContent


class Secrets(BaseModel):
    """Keys of the installation, as they are."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    secret_key: str = Field(repr=False)
    """The managers' key (hexadecimal): without it no signing key, and no API key, of the database is of use."""
    secrets_keys: tuple[str, ...] = Field(default=(), repr=False)
    """The managers' keys of projects' secrets; empty: the one that follows from `secret_key`."""
    admin_key: str | None = Field(default=None, repr=False)
    """API key of the first operator, if its file could be read."""
    installation: str | None = Field(default=None, repr=False)
    """`installation.json` of `headrace init`, if the backup was made where that lies."""


class End(BaseModel):
    """What was written; the last entry."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    sha256: str
    """Of all bytes before this entry's header."""
    rows: Mapping[str, int]
    """Table → rows."""
    folder_count: int
    """Model folders in the database that are not deleted."""
    files: int
    folder_bytes: int
    """Bytes of files below `folders/`."""
    left_out: int = 0
    """Special files, and what lies too deep."""
    changed: int = 0
    """Files that were written to while they were read: their content is of no single moment."""


class Writer:
    """Writes a backup to a file that is open for writing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0

    def document(self, name: str, content: BaseModel) -> None:
        """Write one of the JSON documents."""
        self.entry(_regular(name), content.model_dump_json(indent=1).encode() + b"\n")

    def rows(self, table: str, number: int, rows: bytes) -> None:
        """Write a part of a table's rows."""
        self.entry(_regular(f"{DATABASE}{table}/{number:06}.gz"), gzip.compress(rows, compresslevel=1, mtime=0))

    def entry(self, info: tarfile.TarInfo, content: bytes = b"") -> None:
        """Write an entry with this content."""
        info.size = len(content)
        self.header(info)
        self.raw(content)
        self.padding(info.size)

    def header(self, info: tarfile.TarInfo) -> None:
        """Write the header of an entry, whose `size` bytes and padding() follow."""
        self.raw(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def padding(self, size: int) -> None:
        """Fill the last block of an entry of `size` bytes."""
        self.raw(bytes(-size % tarfile.BLOCKSIZE))

    def raw(self, content: bytes) -> None:
        """Write bytes of an entry."""
        self._file.write(content)
        self._digest.update(content)
        self.bytes += len(content)

    def sha256(self) -> str:
        """Return the SHA-256 of what was written so far."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write the end of the archive. The file stays open."""
        self.raw(bytes(2 * tarfile.BLOCKSIZE))


class Reader:
    """A backup that was found whole: its facts, and its entries in order.

    Raises BackupError where the file is no backup, is cut, or was changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror or error}") from None
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def entries(self) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
        """Yield the entries after the first two with their content, up to the last one; regular files have one."""
        with self._archive() as archive:
            for info in _members(archive):
                if info.name == END:
                    return
                if info.name not in {MANIFEST, SECRETS}:
                    yield info, archive.extractfile(info) if info.isreg() else None

    def _check(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise BackupError(f"{self.path} is no file; allowed: a file that `headrace backup` made")
        try:
            with self._archive() as archive:
                self._read_documents(archive)
        except tarfile.TarError as error:
            raise BackupError(self._cut(str(error))) from None
        except OSError as error:
            raise BackupError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _read_documents(self, archive: tarfile.TarFile) -> None:
        members = _members(archive)
        first, second = next(members, None), next(members, None)
        if first is None or first.name != MANIFEST or second is None or second.name != SECRETS:
            raise BackupError(self._foreign())
        self.manifest = self._document(archive, first, Manifest)
        self.secrets = self._document(archive, second, Secrets)
        last = second
        for info in members:
            last = info
        if last.name != END:
            raise BackupError(self._cut(f"its last entry is {last.name}"))
        self.end = self._document(archive, last, End)
        found = self._digest(last.offset)
        if found != self.end.sha256:
            raise BackupError(
                f"{self.path} was changed after it was made: the SHA-256 of its content is {found}, and it says "
                f"{self.end.sha256}; take another copy"
            )

    def _document(self, archive: tarfile.TarFile, info: tarfile.TarInfo, kind: type[D]) -> D:
        content = archive.extractfile(info) if info.isreg() and info.size <= MAX_DOCUMENT_BYTES else None
        if content is None:
            raise BackupError(self._foreign())
        try:
            return kind.model_validate_json(content.read())
        except ValidationError as error:
            found = error.errors(include_input=False)[0]
            where = ".".join(map(str, found["loc"])) or "the document"
            raise BackupError(
                f"{info.name} of {self.path} cannot be read ({where}: {found['msg']}); "
                "allowed: a backup of format 1: is it of a newer Headrace?"
            ) from None

    def _digest(self, size: int) -> str:
        digest, left = hashlib.sha256(), size
        self._file.seek(0)
        while left and (block := self._file.read(min(BLOCK, left))):
            digest.update(block)
            left -= len(block)
        return digest.hexdigest()

    def _archive(self) -> tarfile.TarFile:
        self._file.seek(0)
        try:
            return tarfile.open(fileobj=self._file, mode="r:", encoding="utf-8", errors="surrogateescape")
        except tarfile.ReadError:
            raise BackupError(self._foreign()) from None

    def _foreign(self) -> str:
        return f"{self.path} is no backup of Headrace; allowed: a file that `headrace backup` made"

    def _cut(self, why: str) -> str:
        size = os.fstat(self._file.fileno()).st_size
        return f"{self.path} is not whole: it ends after {size:,} bytes without {END} ({why}); take another copy"


D = TypeVar("D", bound=BaseModel)


def rows_of(info: tarfile.TarInfo, content: IO[bytes]) -> bytes:
    """Return the rows in a part of a table. Raises BackupError."""
    if info.size > MAX_PART_BYTES:
        raise BackupError(f"{info.name} has {info.size:,} bytes; allowed: {MAX_PART_BYTES:,}")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content.read())) as file:
            rows = file.read(MAX_PART_BYTES + 1)
    except (OSError, EOFError) as error:
        raise BackupError(f"{info.name} cannot be read: {error}") from None
    if len(rows) > MAX_PART_BYTES:
        raise BackupError(f"{info.name} has more than {MAX_PART_BYTES:,} bytes of rows; allowed: fewer")
    return rows


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries one by one; the library would remember all of them."""
    while (info := archive.next()) is not None:
        yield info
        archive.members.clear()  # type: ignore[attr-defined] # an attribute without a type


def _regular(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = 0o600
    return info
