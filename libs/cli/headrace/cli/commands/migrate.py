"""`headrace migrate`: migrates a database, before managers of a new version start."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from pydantic import BaseModel

from headrace.cli.command import Commands, command
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.session import Session


class Migrated(BaseModel):
    """Output of `headrace migrate --json`: the numbers applied now."""

    applied: tuple[int, ...]


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "migrate")(migrate)


def migrate(
    session: Session,
    database_url: Annotated[
        str,
        typer.Option(
            "--database-url",
            envvar="HEADRACE_MANAGER_DATABASE_URL",
            show_envvar=True,
            help="postgresql://USER:PASSWORD@HOST/NAME; better given by the environment.",
        ),
    ],
) -> None:
    """Migrate the manager's database; idempotent, and safe to run concurrently."""
    import asyncpg  # noqa: PLC0415 - needed by this command only

    from headrace.common.contracts.problems import Problem  # noqa: PLC0415
    from headrace.common.db.migrate import migrate as apply  # noqa: PLC0415

    try:
        applied = tuple(asyncio.run(apply(database_url)))
    except Problem as problem:
        raise CliError(f"{problem.title}: {problem.detail}") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CliError(f"the database refused: {error}") from None
    except (OSError, TimeoutError) as error:
        raise CliError(f"the database cannot be reached: {str(error) or 'timeout'}", ExitCode.UNREACHABLE) from None
    session.output.facts(
        Migrated(applied=applied), (("applied", ", ".join(map(str, applied)) or "nothing; it is up to date"),)
    )
