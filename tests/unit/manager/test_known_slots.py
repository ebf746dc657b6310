"""A slot that no machine has is said, with what is known; it is waited for."""

from __future__ import annotations

import pytest

from headrace.manager.domain.placement.known_slots import note_of, unusual, unusual_in_quota


@pytest.mark.parametrize("asked", [{"cpu", "mem"}, {"cuda.device"}, {"cuda.shares", "npu.device"}])
def test_what_is_usual_or_some_machine_has_needs_no_word(asked: set[str]) -> None:
    assert note_of(asked, ["npu.device"]) is None


def test_a_mistyped_slot_is_said_with_what_is_known_and_what_was_likely_meant() -> None:
    note = note_of({"cpu", "cuda.devcie"}, ["cpu", "mem", "npu.device"])
    assert note is not None
    assert note.code == "slot-unknown"
    assert note.text.startswith(
        "no machine has cuda.devcie (did you mean cuda.device?); known: cpu, cuda.device, cuda.shares, mem, npu.device"
    )


def test_what_folders_store_is_usual_in_a_quota_and_nowhere_else() -> None:
    names = {"cpu", "storage", "files", "npu.device"}
    assert unusual_in_quota(names) == {"npu.device"}
    assert unusual(names) == {"npu.device", "storage", "files"}
