"""Named SQL queries from `.sql` files beside the store that uses them.

A file holds `-- name: get_service` lines, each followed by one statement (comments allowed).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"^--\s*name:\s*([a-z][a-z0-9_]*)\s*$")


class Queries:
    """SQL statements of one file as attributes: `SQL = Queries.beside(__file__)`, then `SQL.get_service`."""

    def __init__(self, statements: dict[str, str], source: Path) -> None:
        self._statements = statements
        self._source = source

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no query {name!r} in {self._source}") from None

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield (name, statement)."""
        yield from self._statements.items()

    @classmethod
    def beside(cls, module_file: str) -> Queries:
        """Load `<module>.sql` beside `<module>.py`."""
        return cls.read(Path(module_file).with_suffix(".sql"))

    @classmethod
    def read(cls, path: Path) -> Queries:
        """Load one file. Raises ValueError for a duplicate name or text before the first name."""
        statements: dict[str, list[str]] = {}
        lines: list[str] | None = None
        for line in path.read_text(encoding="utf-8").splitlines():
            match = _NAME.match(line)
            if match:
                if match.group(1) in statements:
                    raise ValueError(f"{path}: query {match.group(1)} stands twice")
                lines = statements[match.group(1)] = []
            elif lines is not None:
                lines.append(line)
            elif line.strip() and not line.startswith("--"):
                raise ValueError(f"{path}: text before the first '-- name:' line")
        return cls({name: "\n".join(body).strip().rstrip(";") for name, body in statements.items()}, path)
