"""Until when requests on a draining replica may go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headrace.appproxy.dataplane.upstream.draining import NEVER, drain_deadline
from tests.support.factories.route_tables import route

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("left_s", "cut_in_s"), [(30, 30), (0, 0), (-5, 0), (-1e9, 0)])
def test_never_before_the_draining_was_seen(left_s: float, cut_in_s: float) -> None:
    draining = route(state="draining", drain_until=NOW + timedelta(seconds=left_s))
    assert drain_deadline(draining, NOW, 1000.0) == 1000.0 + cut_in_s


def test_only_what_drains_and_has_an_end() -> None:
    assert drain_deadline(route(state="draining"), NOW, 1000.0) == NEVER
    assert drain_deadline(route(drain_until=NOW), NOW, 1000.0) == NEVER
