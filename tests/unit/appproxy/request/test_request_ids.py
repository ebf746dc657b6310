"""Ids that the proxy gives to requests: one after the other, none twice."""

from __future__ import annotations

from headrace.appproxy.dataplane.request.context import RequestIds


def test_ids_are_one_prefix_and_a_running_number() -> None:
    ids = RequestIds()
    made = [ids.new() for _ in range(70_000)]
    prefix = made[0][:24]
    assert made == [prefix + b"%08x" % number for number in range(1, 70_001)]


def test_two_processes_have_different_prefixes() -> None:
    assert RequestIds().new() != RequestIds().new()
