"""A walk through a folder that changes while it is walked: what it corrects, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from headrace.manager.domain.storage_usage import StorageChange, StorageUsage, correction

sizes = st.integers(0, 50)
names = st.sampled_from("abcdef")
changes = st.lists(st.tuples(names, st.none() | sizes), max_size=8)
"""Files that are put or replaced, or (None) deleted, each counted as it happens."""


class ChangingFolder:
    """A folder's files, and what is counted of them."""

    def __init__(self, files: dict[str, int], off: StorageUsage) -> None:
        self.files = dict(files)
        self.counted = self.there + off
        self.gained = self.lost = StorageUsage()

    @property
    def there(self) -> StorageUsage:
        return StorageUsage(sum(self.files.values()), len(self.files))

    def change(self, name: str, size: int | None) -> None:
        before = self.files.pop(name, None)
        gained = StorageUsage(size, 1) if size is not None else StorageUsage()
        lost = StorageUsage(before, 1) if before is not None else StorageUsage()
        if size is not None:
            self.files[name] = size
        self.counted += gained - lost
        self.gained += gained
        self.lost += lost

    def walk(self) -> Iterator[StorageUsage]:
        """Yield the sum so far; between two files everything may change."""
        found = StorageUsage()
        for name in "abcdef":
            if name in self.files:
                found += StorageUsage(self.files[name], 1)
            yield found


@given(
    st.dictionaries(names, sizes),
    st.builds(StorageUsage, st.integers(-60, 60), st.integers(-4, 4)),
    st.lists(changes, min_size=6, max_size=6),
    changes,
)
def test_a_walk_never_corrects_beyond_what_is_there_whatever_changes_meanwhile(
    files: dict[str, int],
    off: StorageUsage,
    during: list[list[tuple[str, int | None]]],
    before: list[tuple[str, int | None]],
) -> None:
    world = ChangingFolder(files, off)
    for one in before:
        world.change(*one)
    counted, gained, lost = world.counted, world.gained, world.lost
    walk = world.walk()
    found = StorageUsage()
    for step in during:
        found = next(walk)
        for one in step:
            world.change(*one)
    by = correction(counted, found, StorageChange(world.gained - gained, world.lost - lost))
    for was, change in ((off.bytes, by.bytes), (off.files, by.files)):
        left = was + change
        assert abs(left) <= abs(was)
        assert left * was >= 0  # neither lost nor counted twice
    if not any(during):
        assert by == StorageUsage() - off


def test_what_a_container_wrote_is_counted_also_where_something_is_uploaded_all_the_time() -> None:
    meanwhile = StorageChange(StorageUsage(300, 3), StorageUsage(100, 1))
    assert correction(StorageUsage(1000, 10), StorageUsage(5200, 22), meanwhile) == StorageUsage(3900, 9)
    assert correction(StorageUsage(5000, 50), StorageUsage(1000, 50), meanwhile) == StorageUsage(-3900, 0)
