"""Cursors of sorted lists: they come back as the same place, and everything else is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import ServiceId, new_uuid
from headrace.common.contracts.vocabulary import SERVICE_STATUSES, ServiceSort
from headrace.manager.domain.list_cursor import MAX_CURSOR_CHARS, read_cursor, write_cursor
from headrace.manager.domain.records.service_lists import Position, SortKey

SERVICE = ServiceId(new_uuid())
KEYS: dict[ServiceSort, st.SearchStrategy[SortKey]] = {
    "created": st.just(SERVICE),
    "name": st.text("abcz09-", min_size=1, max_size=63),
    "updated": st.datetimes(timezones=st.just(UTC)),
    "replicas": st.integers(0, 2**31 - 1),
    "status": st.sampled_from(sorted(SERVICE_STATUSES)),
}
SORTS: tuple[ServiceSort, ...] = get_args(ServiceSort)


@pytest.mark.parametrize("sort", SORTS)
@given(data=st.data())
def test_a_cursor_is_read_as_the_place_it_was_written_for(sort: ServiceSort, data: st.DataObject) -> None:
    place = Position(data.draw(KEYS[sort]), SERVICE)
    cursor = write_cursor(sort, place)
    assert read_cursor(sort, cursor) == place
    assert len(cursor) <= MAX_CURSOR_CHARS


def test_a_cursor_belongs_to_its_sort() -> None:
    cursors = {
        "created": write_cursor("created", Position(SERVICE, SERVICE)),
        "name": write_cursor("name", Position("chat", SERVICE)),
        "updated": write_cursor("updated", Position(datetime(2027, 1, 1, tzinfo=UTC), SERVICE)),
        "replicas": write_cursor("replicas", Position(2, SERVICE)),
        "status": write_cursor("status", Position("healthy", SERVICE)),
    }
    for sort in SORTS:
        for other in set(SORTS) - {sort}:
            assert read_cursor(sort, cursors[other]) is None


@pytest.mark.parametrize("sort", SORTS)
@given(text=st.text(max_size=40))
def test_what_is_no_cursor_is_no_place(sort: ServiceSort, text: str) -> None:
    assert read_cursor(sort, text) is None


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("updated", "2027-01-01T00:00:00"),
        ("updated", "0001-01-01T00:00:00+14:00"),
        ("updated", "tomorrow"),
        ("replicas", "2147483648"),
        ("status", "well"),
        ("replicas", "-1"),
        ("replicas", "9" * 100),
        ("name", "a\x00"),
    ],
)
def test_a_cursor_with_a_value_that_no_service_has_is_refused(sort: ServiceSort, key: str) -> None:
    assert read_cursor(sort, write_cursor(sort, Position(key, SERVICE))) is None
