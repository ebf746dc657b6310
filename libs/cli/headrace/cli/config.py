"""Configuration of the command line: the server to use, and its key.

Flags override the environment, which overrides the stored login, which overrides a local stack.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.cli.errors import CliError, ExitCode
from headrace.cli.stacks import Stacks
from headrace.common.runtime.files import write_atomically
from headrace.embedded.private import lock_holder
from headrace.embedded.state import Phase, StackState, read_state

DEFAULT_URL: Final = "http://127.0.0.1:8080"
MAX_DEFAULTS: Final = 100
LONGEST_START_S: Final = 120.0
"""How long a command waits for a stack that is starting."""
_POLL_S = 0.1
_HOW = "headrace login --url URL, or set HEADRACE_URL and HEADRACE_API_KEY, or start one here: headrace up"


class Login(BaseModel):
    """Stored login: a server with a key, or the data folder of a local stack, which has both."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    url: str | None = None
    key: str | None = Field(default=None, repr=False)
    ca_file: Path | None = None
    """CA certificate file of the server."""
    data: Path | None = None


@dataclass(frozen=True)
class Target:
    """Server URL and API key. Holds a secret."""

    url: str
    key: str = field(repr=False)
    origin: str
    """Source of the target, for people."""
    ca_file: Path | None = None


def _folder(environ: Mapping[str, str], variable: str, default: str) -> Path:
    wanted = environ.get(variable, "")
    # XDG specification: a relative path is ignored.
    return (Path(wanted) if wanted.startswith("/") else _home(environ) / default) / "headrace"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def config_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the stored login: in XDG_CONFIG_HOME or ~/.config."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config") / "config.json"


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for the list of local stacks and of incomplete uploads."""
    return _folder(environ, "XDG_STATE_HOME", ".local/state")


def default_data(environ: Mapping[str, str]) -> Path:
    """Return the default data folder of `headrace up`."""
    wanted = environ.get("HEADRACE_DATA")
    return Path(wanted) if wanted else _folder(environ, "XDG_DATA_HOME", ".local/share")


class Defaults(BaseModel):
    """Stored default projects (`project use`), per server and key."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
    projects: dict[str, str] = {}
    """Server's URL, a blank and the key's fingerprint → project, '' for none; the latest last, MAX_DEFAULTS at most. By
    URL alone: as stored by earlier versions; it is the default of every key without an entry of its own."""


class Config:
    """Stored login, default projects and environment variables."""

    def __init__(self, environ: Mapping[str, str] | None = None, *, patient: bool = True) -> None:
        """`patient`: wait for a stack that is starting."""
        self.environ = os.environ if environ is None else environ
        self.file = config_file(self.environ)
        self.names_file = _folder(self.environ, "XDG_CACHE_HOME", ".cache") / "names.json"
        """Names for shell completion."""
        self._patient = patient
        self._defaults_file = self.file.with_name("defaults.json")
        self.stacks = Stacks(state_folder(self.environ) / "stacks.json")

    def login(self) -> Login | None:
        """Return the stored login. Raises CliError if the file exists and cannot be read."""
        try:
            return Login.model_validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise CliError(f"{self.file} cannot be read: {_first(error)}", hint="headrace logout removes it") from None

    def store(self, login: Login) -> None:
        """Store `login`, readable by its owner only. Raises OSError."""
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.file, login.model_dump_json(exclude_none=True, indent=1) + "\n")

    def forget(self) -> bool:
        """Delete the stored login and the names kept for completion; return False if there was none."""
        there = self.file.exists()
        self.file.unlink(missing_ok=True)
        self.names_file.unlink(missing_ok=True)
        return there

    def project(self, url: str, key: str) -> str | None:
        """Return the default project at the server `url` with this key; None: the caller's only one."""
        given = self.environ.get("HEADRACE_PROJECT")
        if given:
            return given
        stored = self._defaults().projects
        return stored.get(_identity(url, key), stored.get(url)) or None

    def use_project(self, url: str, key: str, project: str | None) -> None:
        """Store `project` as the default at `url` with this key; None removes it. An unreadable file is replaced.

        Raises OSError.
        """
        try:
            before = self._defaults().projects
        except CliError:
            before = {}
        mine = _identity(url, key)
        others = {server: name for server, name in before.items() if server != mine}
        forgotten = project is None and url not in others
        kept = list((others | ({} if forgotten else {mine: project or ""})).items())[-MAX_DEFAULTS:]
        self._defaults_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._defaults_file, Defaults(projects=dict(kept)).model_dump_json(indent=1) + "\n")

    def _defaults(self) -> Defaults:
        try:
            return Defaults.model_validate_json(self._defaults_file.read_bytes())
        except FileNotFoundError:
            return Defaults()
        except (OSError, ValidationError) as error:
            raise CliError(
                f"{self._defaults_file} cannot be read: {_first(error)}",
                hint="headrace project use NAME writes it anew",
            ) from None

    def target(self, *, url: str | None = None, data: Path | None = None) -> Target:
        """Return the server to use and its key. Raises CliError that explains how to log in.

        A stored key is only sent to the server that it was stored for.
        """
        if data is not None:
            return self.local(data)
        given = self.environ.get("HEADRACE_API_KEY")
        key = checked_key(given, "HEADRACE_API_KEY") if given else None
        wanted = url or self.environ.get("HEADRACE_URL") or None
        if wanted is not None:
            return self._for_url(checked_url(wanted), key)
        if key is not None:
            return Target(self._some_url(), key, "HEADRACE_API_KEY")
        if self.environ.get("HEADRACE_DATA"):  # if no stack runs on it, no other one is chosen
            return self.local(default_data(self.environ).expanduser().absolute())
        login = self.login()
        return self._of_login(login) if login is not None else self._of_running()

    def names_server(self) -> bool:
        """Return True if environment or stored login name a server, which is meant then rather than a stack of this machine."""
        if self.environ.get("HEADRACE_URL") or self.environ.get("HEADRACE_API_KEY"):
            return True
        if self.environ.get("HEADRACE_DATA"):
            return False
        login = self.login()
        return (
            login is not None and login.url is not None and login.url not in {s.api_url for s in self.stacks.running()}
        )

    def local(self, data: Path) -> Target:
        """Return the stack that runs on `data`. Raises CliError if none does."""
        state = _started(data) if self._patient else read_state(data)
        if state is None:
            raise CliError(f"nothing runs on {data}", ExitCode.UNREACHABLE, hint=f"headrace up --data {data}")
        return _of_state(state)

    def _for_url(self, url: str, key: str | None) -> Target:
        login = self.login()
        stored = self._matching(login, url)
        if key is not None:
            return Target(url, key, "HEADRACE_API_KEY", stored.ca_file if stored else None)
        if stored is not None:
            return stored
        for state in self.stacks.running():
            if state.api_url == url:
                return _of_state(state)
        raise CliError(f"no key for {url}", ExitCode.DENIED, hint=_HOW)

    def _matching(self, login: Login | None, url: str) -> Target | None:
        if login is None or login.url != url or login.key is None:
            return None
        return Target(url, login.key, str(self.file), login.ca_file)

    def _some_url(self) -> str:
        login = self.login()
        if login is not None and login.url is not None:
            return login.url
        running = self.stacks.running()
        return running[0].api_url if len(running) == 1 else DEFAULT_URL

    def _of_login(self, login: Login) -> Target:
        if login.data is not None:
            return self.local(login.data)
        if login.url is None or login.key is None:
            raise CliError(f"{self.file} has no url or no key", ExitCode.DENIED, hint=_HOW)
        return Target(login.url, login.key, str(self.file), login.ca_file)

    def _of_running(self) -> Target:
        running = self.stacks.running()
        if not running and lock_holder(default_data(self.environ)) is not None:
            return self.local(default_data(self.environ))
        if not running:
            raise CliError("not logged in, and nothing runs here", ExitCode.DENIED, hint=_HOW)
        if len(running) > 1:
            folders = ", ".join(str(state.data) for state in running)
            raise CliError(
                f"several stacks run here: {folders}", ExitCode.USAGE, hint="say which: headrace --data FOLDER …"
            )
        return self.local(running[0].data)


def _identity(url: str, key: str) -> str:
    """Return a key for (server, API key) without the API key itself."""
    return f"{url} {hashlib.sha256(key.encode()).hexdigest()[:16]}"


def checked_url(url: str) -> str:
    """Return `url` without a trailing slash. Raises CliError if it is no server URL."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise CliError(f"{url!r} is not the URL of a server; allowed: http://HOST:PORT or https://HOST", ExitCode.USAGE)
    if parts.path.rstrip("/").endswith("/v1"):
        raise CliError(f"{url!r} ends in /v1; allowed: the server's URL without it", ExitCode.USAGE)
    return url.rstrip("/")


def checked_key(key: str, what: str) -> str:
    """Return `key` without blanks around it. Raises CliError, which does not show it, if it is malformed."""
    key = key.strip()
    if not key.isascii() or not key.isprintable() or not key:
        raise CliError(f"{what} is empty or has characters that no key has", ExitCode.USAGE)
    return key


def is_local(url: str) -> bool:
    """Return True if `url` is on this machine, so that a key may be sent unencrypted."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _started(data: Path) -> StackState | None:
    """Return the state of the stack on `data` once it has started; None if none runs or starts there.

    A stack that does not become ready exits by itself, or says so in its state; the wait is bounded all the same.
    """
    until = time.monotonic() + LONGEST_START_S
    noted = False
    while True:
        state = read_state(data)
        starting = state.phase is Phase.STARTING if state is not None else lock_holder(data) is not None
        if not starting or time.monotonic() > until:
            return state
        if not noted:
            sys.stderr.write(f"waiting for the stack on {data} to start\n")
            noted = True
        time.sleep(_POLL_S)


def _of_state(state: StackState) -> Target:
    try:
        key = state.admin_key_file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise CliError(
            f"the stack on {state.data} is still starting", ExitCode.UNREACHABLE, hint="headrace status"
        ) from None
    return Target(state.api_url, key, f"the stack on {state.data}")


def _first(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error.errors(include_input=False, include_url=False)[0]["msg"])
