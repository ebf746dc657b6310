"""What folders store: the arithmetic of a grant."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.problems import QuotaExceeded
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.storage_usage import StorageUsage, grant, lacking, limits

amounts = st.builds(StorageUsage, st.integers(0, 10**15), st.integers(0, 10**9))


@given(amounts, amounts, amounts, amounts)
def test_a_grant_suffices_and_never_passes_the_limit(
    limit: StorageUsage, used: StorageUsage, needed: StorageUsage, step: StorageUsage
) -> None:
    fits = not lacking(limit, used, StorageUsage(needed.bytes, needed.files)) or not needed
    try:
        granted = grant("p", limit.slots(), used, needed, step)
    except QuotaExceeded:
        assert not fits
        return
    assert not lacking(granted, StorageUsage(), needed)
    assert not granted.bytes or used.bytes + granted.bytes <= limit.bytes
    assert not granted.files or used.files + granted.files <= limit.files


def test_near_the_limit_no_more_is_taken_than_is_needed() -> None:
    limit = StorageUsage(1000, 1000).slots()
    assert grant("p", limit, StorageUsage(0, 0), StorageUsage(1, 1), StorageUsage(100, 100)) == StorageUsage(100, 100)
    assert grant("p", limit, StorageUsage(700, 0), StorageUsage(1, 1), StorageUsage(100, 100)) == StorageUsage(1, 100)


def test_the_quota_of_the_project_beats_the_installation_s_and_the_refusal_has_the_arithmetic() -> None:
    limit = limits({"storage": Decimal(3 * 2**30), "cpu": Decimal(4)}, ObjectLimits(stored_files_per_project=7))
    assert limit == {"storage": 3 * 2**30, "files": 7}
    with pytest.raises(
        QuotaExceeded, match=r"would hold 4 GiB of storage: 2 GiB are held and 2 GiB are asked for; its limit is 3 GiB"
    ):
        grant("p", limit, StorageUsage(2 * 2**30, 1), StorageUsage(2 * 2**30, 1), StorageUsage())
    with pytest.raises(QuotaExceeded, match="8 of files"):
        grant("p", limit, StorageUsage(0, 7), StorageUsage(0, 1), StorageUsage())
