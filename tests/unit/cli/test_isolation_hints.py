"""What the command line says of stacks that keep nothing apart."""

from __future__ import annotations

import pytest

from headrace.cli.commands.stack_status import open_to_others


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.internal"])
def test_a_stack_without_isolation_that_others_reach_is_warned_of(host: str) -> None:
    said = open_to_others("process", host)
    assert said is not None
    assert host in said
    assert "secret" in said
    assert "--runtime docker" in said
    assert open_to_others("docker", host) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_a_stack_of_ones_own_is_not(host: str) -> None:
    assert open_to_others("process", host) is None
