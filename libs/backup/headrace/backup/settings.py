"""What a backup needs of the managers' settings: the same file and variables, of which it reads a few."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from headrace.backup.errors import BackupError
from headrace.common.runtime.secrets_keys import SecretsKeys
from headrace.common.runtime.settings import InvalidSettingsError, ServiceSettings, read_settings
from headrace.common.runtime.tls import trusting

PREFIX: Final = "HEADRACE_MANAGER_"
CONFIG: Final = f"{PREFIX}CONFIG"


class ManagerSettings(ServiceSettings):
    """Those settings of a manager that say where its data lies. Environment (HEADRACE_MANAGER_*) beats manager.toml."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, toml_file="manager.toml", extra="ignore", frozen=True)
    database_url: SecretStr
    folders_root: Path
    secret_key: Annotated[SecretStr, Field(min_length=64, max_length=64)]
    secrets_keys: SecretsKeys = ()
    admin_key_file: Path | None = None

    @property
    def database(self) -> str:
        """URL of the database, with the authority by which it is verified. Secret."""
        return trusting(self.database_url.get_secret_value(), self.ca_file)


def manager_settings(config: Path | None) -> ManagerSettings:
    """Return the managers' settings from this file, else from the one that the environment names. Raises BackupError."""
    if config is not None:
        os.environ[CONFIG] = str(config)  # where settings look for their file
    try:
        return read_settings(ManagerSettings)
    except InvalidSettingsError as error:
        raise BackupError(f"the managers' settings: {error}") from None


def installation_file(config: Path | None) -> Path | None:
    """Return `installation.json` of the folder of `headrace init` that this settings file lies in; None if there is none."""
    file = config or (Path(os.environ[CONFIG]) if os.environ.get(CONFIG) else None)
    found = file.resolve().parent.parent / "installation.json" if file is not None else None
    return found if found is not None and found.is_file() else None
