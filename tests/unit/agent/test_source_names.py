"""Names in `replica_ports_from`, and what they stand for while they cannot be resolved."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from headrace.agent.domain.port_filter import Network
from headrace.agent.source_names import NAME, SourceNames

FIRST, SECOND = ip_network("10.0.1.4"), ip_network("fd00::5")


class NameServer:
    """Names that it does not know cannot be resolved."""

    def __init__(self) -> None:
        self.answers = {"proxy": "10.0.1.4", "prometheus": "fd00::5"}

    async def __call__(self, name: str) -> tuple[Network, ...] | str:
        return (ip_network(self.answers[name]),) if name in self.answers else "no address associated with the name"


@pytest.fixture
def server() -> NameServer:
    return NameServer()


async def test_a_name_that_is_not_resolved_stands_for_its_last_addresses_also_after_a_restart(
    server: NameServer, tmp_path: Path
) -> None:
    names = SourceNames(["proxy", "prometheus"], tmp_path / NAME, resolve=server)
    assert await names.addresses() == [FIRST, SECOND]
    server.answers["proxy"] = "10.0.1.9"
    assert await names.addresses() == [ip_network("10.0.1.9"), SECOND]
    server.answers.clear()
    assert await names.addresses() == [ip_network("10.0.1.9"), SECOND]
    again = SourceNames(["proxy", "prometheus"], tmp_path / NAME, resolve=server)
    assert await again.addresses() == [ip_network("10.0.1.9"), SECOND]
    assert sorted(again.unresolved) == ["prometheus", "proxy"]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


async def test_a_name_that_is_not_named_any_more_is_forgotten(server: NameServer, tmp_path: Path) -> None:
    await SourceNames(["proxy", "prometheus"], tmp_path / NAME, resolve=server).addresses()
    assert await SourceNames(["prometheus"], tmp_path / NAME, resolve=server).addresses() == [SECOND]
    server.answers.clear()
    assert await SourceNames(["proxy", "prometheus"], tmp_path / NAME, resolve=server).addresses() == [SECOND]


def malformed(path: Path) -> None:
    path.write_text('{"proxy": ["everywhere"]}')


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [malformed, a_folder])
async def test_a_file_that_cannot_be_used_costs_what_it_would_have_told(
    server: NameServer, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(tmp_path / NAME)
    names = SourceNames(["proxy"], tmp_path / NAME, resolve=server)
    assert await names.addresses() == [FIRST]
    server.answers.clear()
    assert await names.addresses() == [FIRST]


async def test_without_names_nothing_is_read_or_written(tmp_path: Path) -> None:
    assert await SourceNames([], tmp_path / NAME).addresses() == []
    assert not list(tmp_path.iterdir())
