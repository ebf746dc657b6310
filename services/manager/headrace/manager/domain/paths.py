"""Path validation inside folders: relative, without any way out."""

from __future__ import annotations

import re

from headrace.common.contracts.manifest import MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES
from headrace.common.contracts.problems import InvalidRequest

_TIME = re.compile(r"[0-9]{1,10}(\.[0-9]{0,30})?", re.ASCII)


def split_path(path: str, *, field: str = "path", empty: bool = False) -> tuple[str, ...]:
    r"""Split and validate `path`; () for the folder itself, where `empty` allows it.

    Raises InvalidRequest with the error. A name is never `.` or `..`, and has no `/`, `\` or control character.
    """
    if path in {"", ".", "/"} and empty:
        return ()
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise InvalidRequest.of(field, path, "text that can be written as UTF-8") from None
    if not 0 < size <= MAX_PATH_BYTES:
        raise InvalidRequest.of(field, f"{size} bytes", f"1 to {MAX_PATH_BYTES} bytes")
    names = tuple(path.removesuffix("/").split("/"))
    if len(names) > MAX_DEPTH:
        raise InvalidRequest.of(field, f"{len(names)} levels", f"at most {MAX_DEPTH} levels")
    for name in names:
        _check(field, path, name)
    return names


def modified_ns(text: str) -> int | None:
    """Parse a modification time (`seconds[.fraction]` since 1970, as in pax) into nanoseconds; None when it cannot be stored."""
    if not _TIME.fullmatch(text):
        return None
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int((fraction + "000000000")[:9]) if int(seconds) else None


def _check(field: str, path: str, name: str) -> None:
    if name == "":
        raise InvalidRequest.of(field, path, "a relative path without empty names (no / at the start, no //)")
    if name in {".", ".."}:
        raise InvalidRequest.of(field, path, "a path inside the folder, without . and ..")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidRequest.of(field, name[:80] + "…", f"names of at most {MAX_NAME_BYTES} bytes")
    if "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise InvalidRequest.of(field, repr(path)[:200], "names without backslash and control characters")
