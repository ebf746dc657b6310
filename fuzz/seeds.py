"""Seed corpus of the fuzzers: `python -m fuzz.seeds FOLDER` writes FOLDER/requests and FOLDER/responses.

The inputs are those of the smuggling cases.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fuzz.cuts import MARK
from tests.integration.appproxy.smuggling.answers import ANSWERS
from tests.integration.appproxy.smuggling.corpus import CASES

_LONGEST = 600
_FLAGS = (b"\x00", b"\x01", b"\x06")


def write(folder: Path) -> None:
    """Write one file per case and flag setting; cases that are dangerous by their size are left out."""
    for side, inputs in {
        "requests": {case.id: MARK.join(case.segments) for case in CASES},
        "responses": {case.id: MARK.join(case.segments) for case in ANSWERS},
    }.items():
        (folder / side).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            for flags in _FLAGS if len(data) <= _LONGEST else ():
                (folder / side / f"{name}-{flags[0]}").write_bytes(flags + data)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
