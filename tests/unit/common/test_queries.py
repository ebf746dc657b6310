from __future__ import annotations

from pathlib import Path

import pytest

from headrace.common.db.migrate import MigrationFailed, load_migrations
from headrace.common.db.queries import Queries


def test_named_queries(tmp_path: Path) -> None:
    file = tmp_path / "store.sql"
    file.write_text("-- a file\n-- name: one\nselect 1;\n\n-- name: two\n-- why\nselect 2\n")
    queries = Queries.read(file)
    assert queries.one == "select 1"
    assert dict(queries.items())["two"] == "-- why\nselect 2"
    with pytest.raises(AttributeError, match="three"):
        _ = queries.three


@pytest.mark.parametrize("text", ["-- name: a\nselect 1\n-- name: a\nselect 2\n", "select 1\n-- name: a\nselect 2\n"])
def test_a_file_that_would_lose_a_query_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "store.sql"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"twice|before the first"):
        Queries.read(file)


def test_migrations_are_numbered_without_gaps(tmp_path: Path) -> None:
    assert [m.number for m in load_migrations()] == list(range(1, len(load_migrations()) + 1))
    (tmp_path / "0001_a.sql").write_text("")
    (tmp_path / "0003_c.sql").write_text("")
    with pytest.raises(MigrationFailed, match="gap"):
        load_migrations(tmp_path)
