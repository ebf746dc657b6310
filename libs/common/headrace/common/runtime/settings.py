"""How settings are read: environment over TOML over defaults; unknown keys and mistyped variables are refused."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from typing import Literal, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from headrace.common.obs.logging import LogFormat


class ServiceSettings(BaseSettings):
    """Base of all services' settings. Subclasses set `env_prefix` and `toml_file`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: LogFormat = "auto"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, then the TOML file (its path may be given by `<prefix>CONFIG`)."""
        prefix = settings_cls.model_config.get("env_prefix", "")
        path = os.environ.get(f"{prefix}CONFIG") or settings_cls.model_config.get("toml_file")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path)


S = TypeVar("S", bound=ServiceSettings)


def load_settings(cls: type[S]) -> S:
    """Return the settings, or print what is wrong (never the value of a secret) and exit with status 78 (EX_CONFIG)."""
    unknown = _mistyped(cls)
    if unknown:
        sys.exit(_fail("; ".join(unknown)))
    try:
        return cls()
    except ValidationError as error:
        prefix = cls.model_config.get("env_prefix", "")
        lines = [
            f"{prefix}{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)
        ]
        sys.exit(_fail("; ".join(lines)))


def _mistyped(cls: type[ServiceSettings]) -> list[str]:
    prefix = cls.model_config.get("env_prefix", "")
    known = {f"{prefix}{name}".upper() for name in cls.model_fields} | {f"{prefix}CONFIG"}
    found = []
    for name in sorted(os.environ):
        if name.upper().startswith(prefix.upper()) and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1)
            found.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return found


def _fail(text: str) -> int:
    sys.stderr.write(f"configuration error: {text}\n")
    return 78
