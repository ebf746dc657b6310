"""The same bytes through nginx: the proxy's verdicts are never more lenient, and divide the bytes in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.appproxy.smuggling.case import Case, Passed
from tests.integration.appproxy.smuggling.corpus import CASES, GROUPS
from tests.integration.appproxy.smuggling.judge import Outcome, outcome
from tests.integration.appproxy.smuggling.recorder import recorder
from tests.support.nginx import Nginx, nginx


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nginx]:
    """An nginx before a port that the test fills."""
    with nginx(tmp_path) as one:
        yield one


def divergence(case: Case, came: Outcome) -> str:
    """Return how the verdict is more lenient than nginx, or divides the bytes otherwise; nothing if it is neither."""
    if not isinstance(case.verdict, Passed):
        return ""  # refused or answered here: nothing can be stricter
    if came.bodies == case.verdict.bodies and came.canaries == (not case.alone):
        return ""
    return f"here {case.verdict.bodies}, nginx {came.summary}"


@pytest.mark.parametrize("group", GROUPS)
async def test_never_more_lenient_than_nginx_without_a_reason(server: Nginx, group: str) -> None:
    async with recorder() as backend:
        server.serve(backend.port)
        wrong: list[str] = []
        for case in GROUPS[group]:
            came = await outcome(case, server.port, backend)
            found = divergence(case, came)
            if bool(found) != bool(case.differs):
                wrong.append(f"{case.id}: {found or 'the same as nginx, and yet a reason is given'}")
        assert not wrong, f"{len(wrong)} of {len(GROUPS[group])}:\n" + "\n".join(wrong)


def test_the_corpus_is_large_and_says_why() -> None:
    assert len(CASES) >= 250
    assert len({case.id for case in CASES}) == len(CASES)
    assert all(case.why for case in CASES)
