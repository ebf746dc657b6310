"""Where an installation's data lies: by the managers' settings, or in the data folder of a stack on this machine."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from headrace.backup.errors import BackupError
from headrace.backup.settings import CONFIG, PREFIX, installation_file, manager_settings
from headrace.cli.commands.stack import chosen_data
from headrace.cli.errors import CliError
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.common.runtime.secrets_keys import texts
from headrace.embedded.credentials import MANAGER_SECRETS_KEYS, Credentials
from headrace.embedded.ports import HOST
from headrace.embedded.postgres import DATABASE, ROLE
from headrace.embedded.state import read_state

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar=CONFIG,
        show_envvar=True,
        help="The managers' settings (settings/manager.toml). Without it: the stack of `headrace up` on this machine.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Data folder of a stack of `headrace up`."),
]
MANAGER_KEY: Final = "manager.secret"
"""Name of the managers' key among the secrets of a stack."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the data of an installation lies. Holds secrets."""

    where: str
    """For people."""
    database_url: str = field(repr=False)
    folders_root: Path
    secret_key: str | None = field(repr=False)
    secrets_keys: tuple[str, ...] = field(default=(), repr=False)
    admin_key_file: Path | None = None
    installation_file: Path | None = None
    credentials: Credentials | None = None
    """Secrets of a stack of `headrace up`, which a restore replaces."""


def installation_of(session: Session, *, config: Path | None, data: Path | None) -> Installation | Path:
    """Return the installation of the managers' settings, or the data folder of a stack. Raises CliError."""
    if data is None and session.data is None and (config is not None or f"{PREFIX}DATABASE_URL" in os.environ):
        try:
            found = manager_settings(config)
        except BackupError as error:
            raise CliError(str(error)) from None
        return Installation(
            where=str(config or "the environment"),
            database_url=found.database,
            folders_root=found.folders_root,
            secret_key=found.secret_key.get_secret_value(),
            secrets_keys=texts(found.secrets_keys),
            admin_key_file=found.admin_key_file,
            installation_file=installation_file(config),
        )
    if config is not None and CONFIG not in os.environ:
        raise usage("--config and --data exclude each other: found both; allowed: one")
    return chosen_data(session, data)


@asynccontextmanager
async def local_data(data: Path, *, new: bool) -> AsyncIterator[Installation]:
    """Yield the installation on a stack's data folder. Its database is started for that if the stack does not run.

    `new`: make the folder; else one that is missing is refused.
    """
    state = read_state(data)
    if state is not None:
        credentials = Credentials(data / "secrets.json")
        port = next((process.port for process in state.processes if process.name == "postgres"), None)
        if port is None:
            raise BackupError(f"the stack on {data} is just starting; run this again")
        yield _local(
            data, f"postgresql://{ROLE}:{credentials.password('postgres')}@{HOST}:{port}/{DATABASE}", credentials
        )
        return
    if not new and not (data / "secrets.json").exists():
        raise BackupError(
            f"no stack runs on {data}, and it holds none; allowed: --data FOLDER of one, or --config FILE with the "
            "managers' settings"
        )
    from headrace.embedded.stack import EmbeddedServers  # noqa: PLC0415 - only for a stack that does not run

    async with EmbeddedServers(data, only={"postgres"}) as servers:
        yield _local(servers.data, servers.database_url, servers.credentials)


def _local(data: Path, database_url: str, credentials: Credentials) -> Installation:
    return Installation(
        where=str(data),
        database_url=database_url,
        folders_root=data / "folders",
        secret_key=credentials.key_hex(MANAGER_KEY),
        secrets_keys=credentials.keys(MANAGER_SECRETS_KEYS),
        admin_key_file=data / "admin-key",
        credentials=credentials,
    )
