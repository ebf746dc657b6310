"""The whole corpus, by file."""

from __future__ import annotations

from tests.integration.appproxy.smuggling.case import Case
from tests.integration.appproxy.smuggling.cases import chunks, connections, encodings, heads, lengths, targets

GROUPS: dict[str, tuple[Case, ...]] = {
    "lengths": lengths.CASES,
    "encodings": encodings.CASES,
    "chunks": chunks.CASES,
    "heads": heads.CASES,
    "targets": targets.CASES,
    "connections": connections.CASES,
}
CASES: tuple[Case, ...] = tuple(case for cases in GROUPS.values() for case in cases)
