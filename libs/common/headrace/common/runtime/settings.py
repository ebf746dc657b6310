"""Loading of settings: environment over TOML over defaults; unknown keys and mistyped variables are refused."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from headrace.common.contracts.wording import allowed, errors_of, joined, meant, parts
from headrace.common.obs.logging import LogFormat

_FIELD: Final = re.compile(r'field "(\w+)"')


class ServiceSettings(BaseSettings):
    """Base of all services' settings. Subclasses set `env_prefix` and `toml_file`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: LogFormat = "auto"
    ca_file: Path | None = None
    """Certificates (PEM) of the authorities by which the bus, the database and Redis are verified where their addresses
    ask for TLS (`tls://`, `sslmode=verify-full`, `rediss://`). None: the system's."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, then the TOML file (`<prefix>CONFIG` overrides its path)."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_file(settings_cls))


S = TypeVar("S", bound=ServiceSettings)


class InvalidSettingsError(ValueError):
    """Settings that cannot be used. `str()` says which and what is allowed, without the value of a secret."""


def load_settings(cls: type[S]) -> S:
    """Load the settings, or print the errors (never the value of a secret) and exit with status 78 (EX_CONFIG)."""
    try:
        return read_settings(cls)
    except InvalidSettingsError as error:
        sys.exit(_fail(str(error)))


def read_settings(cls: type[S]) -> S:
    """Return the settings. Raises InvalidSettingsError. A class that ignores unknown keys also ignores mistyped variables."""
    wrong = (_mistyped(cls) if cls.model_config.get("extra") == "forbid" else []) or _unreadable(cls)
    if wrong:
        raise InvalidSettingsError("; ".join(wrong))
    try:
        return cls()
    except ValidationError as error:
        raise InvalidSettingsError("; ".join(_in_words(cls, error))) from None
    except SettingsError as error:  # a variable with invalid JSON; the library names the field only
        named = _FIELD.search(str(error))
        raise InvalidSettingsError(
            f"{_prefix(cls)}{named[1].upper() if named else ''}: allowed: JSON, as a list or a table is written"
        ) from None


def _prefix(cls: type[ServiceSettings]) -> str:
    return str(cls.model_config.get("env_prefix", ""))


def _file(cls: type[BaseSettings]) -> str | None:
    named = os.environ.get(f"{cls.model_config.get('env_prefix', '')}CONFIG")
    return named or cls.model_config.get("toml_file")  # type: ignore[return-value] # a name, in all of ours


def _unreadable(cls: type[ServiceSettings]) -> list[str]:
    """Return the error of a settings file that cannot be read. The default file may be missing."""
    path, name = _file(cls), f"{_prefix(cls)}CONFIG"
    if path is None or (name not in os.environ and not Path(path).exists()):
        return []
    try:
        tomllib.loads(Path(path).read_bytes().decode())
    except OSError as error:
        return [f"{path} ({name}): {error.strerror}; allowed: a TOML file that can be read"]
    except UnicodeDecodeError as error:
        return [f"{path}: found a byte at {error.start} that is not UTF-8; allowed: TOML"]
    except tomllib.TOMLDecodeError as error:
        return [f"{path}: {error}; allowed: TOML"]
    return []


def _in_words(cls: type[ServiceSettings], error: ValidationError) -> list[str]:
    """Return one line per invalid setting: the allowed values, without the found one, which may be a secret."""
    choices: dict[str, list[str]] = {}
    for item in errors_of(error):
        if not item["loc"]:  # settings that do not fit each other
            choices[str(item["ctx"]["error"])] = []
            continue
        name, *inside = parts(item["loc"])
        if item["type"] == "extra_forbidden" and not inside:  # of the file: variables were checked before
            choices[f"{_file(cls)}: {name} is not a setting{meant(str(name), tuple(cls.model_fields))}"] = []
        else:
            choices.setdefault(joined([f"{_prefix(cls)}{name}".upper(), *inside]), []).append(allowed(item))
    return [f"{name}: allowed: {', or '.join(dict.fromkeys(of))}" if of else name for name, of in choices.items()]


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
