"""A walk through a folder that changes while it is walked: what it corrects, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from headrace.manager.domain.stored import Amount, Change, correction

sizes = st.integers(0, 50)
names = st.sampled_from("abcdef")
changes = st.lists(st.tuples(names, st.none() | sizes), max_size=8)
"""Files that are put or replaced, or (None) deleted, each counted as it happens."""


class ChangingFolder:
    """A folder's files, and what is counted of them."""

    def __init__(self, files: dict[str, int], off: Amount) -> None:
        self.files = dict(files)
        self.counted = self.there + off
        self.gained = self.lost = Amount()

    @property
    def there(self) -> Amount:
        return Amount(sum(self.files.values()), len(self.files))

    def change(self, name: str, size: int | None) -> None:
        before = self.files.pop(name, None)
        gained = Amount(size, 1) if size is not None else Amount()
        lost = Amount(before, 1) if before is not None else Amount()
        if size is not None:
            self.files[name] = size
        self.counted += gained - lost
        self.gained += gained
        self.lost += lost

    def walk(self) -> Iterator[Amount]:
        """Yield the sum so far; between two files everything may change."""
        found = Amount()
        for name in "abcdef":
            if name in self.files:
                found += Amount(self.files[name], 1)
            yield found


@given(
    st.dictionaries(names, sizes),
    st.builds(Amount, st.integers(-60, 60), st.integers(-4, 4)),
    st.lists(changes, min_size=6, max_size=6),
    changes,
)
def test_a_walk_never_corrects_beyond_what_is_there_whatever_changes_meanwhile(
    files: dict[str, int], off: Amount, during: list[list[tuple[str, int | None]]], before: list[tuple[str, int | None]]
) -> None:
    world = ChangingFolder(files, off)
    for one in before:
        world.change(*one)
    counted, gained, lost = world.counted, world.gained, world.lost
    walk = world.walk()
    found = Amount()
    for step in during:
        found = next(walk)
        for one in step:
            world.change(*one)
    by = correction(counted, found, Change(world.gained - gained, world.lost - lost))
    for was, change in ((off.bytes, by.bytes), (off.files, by.files)):
        left = was + change
        assert abs(left) <= abs(was)
        assert left * was >= 0  # neither lost nor counted twice
    if not any(during):
        assert by == Amount() - off


def test_what_a_container_wrote_is_counted_also_where_something_is_uploaded_all_the_time() -> None:
    meanwhile = Change(Amount(300, 3), Amount(100, 1))
    assert correction(Amount(1000, 10), Amount(5200, 22), meanwhile) == Amount(3900, 9)
    assert correction(Amount(5000, 50), Amount(1000, 50), meanwhile) == Amount(-3900, 0)
