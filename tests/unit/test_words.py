"""One thing has one name in code and documents: that of docs/glossary.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[2]
WRONG: Final = {
    r"drain summar": "receipt",
}
"""Second names that were in use, and the word for each."""


def test_things_are_called_by_the_word_of_the_glossary() -> None:
    files = [
        *(
            path
            for part in ("libs", "services")
            for path in (ROOT / part).rglob("*")
            if path.suffix in {".py", ".sql", ".md"}
        ),
        *(ROOT / "docs").glob("*.md"),
    ]
    assert len(files) > 400
    found = [
        f"{path.relative_to(ROOT)}: {wrong}, the word is {word}"
        for path in files
        for wrong, word in WRONG.items()
        if re.search(wrong, path.read_text(), flags=re.IGNORECASE)
    ]
    assert found == []
