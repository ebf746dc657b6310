"""What callers are told while the database is away: 503, never 500."""

from __future__ import annotations

import asyncpg
import pytest

from headrace.common.web.problems import as_problem


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (asyncpg.AdminShutdownError("terminating connection"), "database-unreachable"),
        (asyncpg.CrashShutdownError("crash of another process"), "database-unreachable"),
        (asyncpg.CannotConnectNowError("starting up"), "database-unreachable"),
        (asyncpg.ConnectionDoesNotExistError("closed in the middle"), "database-unreachable"),
        (asyncpg.TooManyConnectionsError("too many clients"), "database-unreachable"),
        (asyncpg.InterfaceError("connection is closed"), "database-unreachable"),
        (asyncpg.InternalClientError("cannot switch to state 15"), "database-unreachable"),
        (ConnectionRefusedError(111, "refused"), "database-unreachable"),
        (asyncpg.QueryCanceledError("statement timeout"), "timeout"),
        (TimeoutError(), "timeout"),
        (asyncpg.DeadlockDetectedError("deadlock"), "database-busy"),
        (asyncpg.SerializationError("concurrent update"), "database-busy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_absent_or_busy_database_is_unavailable(error: Exception, reason: str) -> None:
    problem = as_problem(error)
    assert problem.status == 503
    assert problem.document()["reason"] == reason


def test_a_database_without_room_on_its_disk_is_said_to_have_none() -> None:
    problem = as_problem(asyncpg.DiskFullError("could not extend file: No space left on device"))
    assert problem.status == 507
    assert problem.document()["reason"] == "database-disk-full"
