"""Options of a join: what the service would not start with is refused, and what a machine that has joined leaves as it is is said."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import ValidationError
from pydantic_settings import SettingsError

from headrace.common.contracts.wording import allowed, errors_of
from headrace.common.joining.errors import JoinError
from headrace.common.runtime.settings import ServiceSettings

_OPTIONS: Final = {"advertise_host": "--address", "bind_address": "--address", "redis_url": "--redis-url-file"}
_SECRET: Final = frozenset({"redis_url"})
_TOLD: Final = {"id": "machine", "nats_url": "tls://machine:4222"}
"""Settings that services require, and the manager tells."""


class OneLineParser(argparse.ArgumentParser):
    """Parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with status 2."""
        sys.stderr.write(f"{self.prog}: {message}; all options: {self.prog} --help\n")
        sys.exit(2)


def absolute_path(text: str) -> Path:
    """Return the path that an option names, from where the command runs: a service starts elsewhere."""
    return Path(text).absolute()


def check_options(service: type[ServiceSettings], settings: Mapping[str, Any]) -> None:
    """Raise JoinError where the service would refuse settings that options gave; None is not given."""
    given = {name: value for name, value in settings.items() if value is not None}
    values: dict[str, Any] = {name: value for name, value in _TOLD.items() if name in service.model_fields} | given
    try:
        service(**values)
    except ValidationError as error:
        for item in errors_of(error):
            name = str(item["loc"][0]) if item["loc"] else ""
            if name in given:
                found = "" if name in _SECRET else f"found {given[name]}; "
                raise JoinError(f"{_option(name)}: {found}allowed: {allowed(item)}") from None
    except SettingsError:
        return  # of a variable of this shell, which is not the service's


def left_as_they_are(
    wanted: Mapping[str, Any], usual: Mapping[str, Any], present: Mapping[str, Any], file: object
) -> list[str]:
    """Return a line for each setting that an option asks for (`wanted` is not as `usual`) and that the file has otherwise."""
    return [
        f"{_option(name)} changes nothing here: {_differs(name, value, present)} in {file}; change it there"
        for name, value in wanted.items()
        if value is not None and value != usual.get(name) and value != present.get(name)
    ]


def _differs(name: str, value: object, present: Mapping[str, Any]) -> str:
    return f"{name} is another" if name in _SECRET else f"{name} is {present.get(name, 'not set')}, not {value},"


def _option(setting: str) -> str:
    return _OPTIONS.get(setting, f"--{setting.replace('_', '-')}")
