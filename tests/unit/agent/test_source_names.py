"""Names in `replica_ports_from`, and what they stand for while they cannot be resolved."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from headrace.agent import source_names
from headrace.agent.domain.port_filter import Network
from headrace.agent.source_names import NAME, SourceNames

Answers = dict[str, tuple[str, ...]]
FIRST, SECOND = ip_network("10.0.1.4"), ip_network("fd00::5")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What the name server says; names that it does not know cannot be resolved."""
    given: Answers = {"proxy": ("10.0.1.4",), "prometheus": ("fd00::5",)}

    async def resolve(name: str) -> tuple[Network, ...] | str:
        return tuple(map(ip_network, given[name])) if name in given else "no address associated with the name"

    monkeypatch.setattr(source_names, "_addresses", resolve)
    return given


async def test_a_name_that_is_not_resolved_stands_for_its_last_addresses_also_after_a_restart(
    answers: Answers, tmp_path: Path
) -> None:
    names = SourceNames(["proxy", "prometheus"], tmp_path / NAME)
    assert await names.addresses() == [FIRST, SECOND]
    answers["proxy"] = ("10.0.1.9",)
    assert await names.addresses() == [ip_network("10.0.1.9"), SECOND]
    answers.clear()
    assert await names.addresses() == [ip_network("10.0.1.9"), SECOND]
    again = SourceNames(["proxy", "prometheus"], tmp_path / NAME)
    assert await again.addresses() == [ip_network("10.0.1.9"), SECOND]
    assert sorted(again.unresolved) == ["prometheus", "proxy"]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


async def test_a_name_that_is_not_named_any_more_is_forgotten(answers: Answers, tmp_path: Path) -> None:
    await SourceNames(["proxy", "prometheus"], tmp_path / NAME).addresses()
    assert await SourceNames(["prometheus"], tmp_path / NAME).addresses() == [SECOND]
    answers.clear()
    assert await SourceNames(["proxy", "prometheus"], tmp_path / NAME).addresses() == [SECOND]


def malformed(path: Path) -> None:
    path.write_text('{"proxy": ["everywhere"]}')


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [malformed, a_folder])
async def test_a_file_that_cannot_be_used_costs_what_it_would_have_told(
    answers: Answers, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(tmp_path / NAME)
    names = SourceNames(["proxy"], tmp_path / NAME)
    assert await names.addresses() == [FIRST]
    answers.clear()
    assert await names.addresses() == [FIRST]


async def test_without_names_nothing_is_read_or_written(tmp_path: Path) -> None:
    assert await SourceNames([], tmp_path / NAME).addresses() == []
    assert not list(tmp_path.iterdir())
