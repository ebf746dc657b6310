"""Session of one command: its output, the configuration, and a client made on first use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import typer

from headrace.cli.output import Output
from headrace.cli.parsing import usage

if TYPE_CHECKING:  # loaded by the first command that asks a server: help and completion of words do not
    from headrace.cli.config import Config, Target
    from headrace.sdk import Client


PATIENCE_S: Final = 60.0
"""How long a request waits for a manager that accepts no connections, as one that restarts."""
ANSWER_S: Final = 30.0
"""Longest silence of a manager within a response."""
THERE_S: Final = 10.0
"""The same for commands that check if it is reachable: `status`, `version` and `login`."""


class Session:
    """One run of the command line."""

    def __init__(self, config: Config | None = None) -> None:
        self.output = Output()
        self.url: str | None = None
        """`--url`."""
        self.data: Path | None = None
        """`--data`: data folder of the stack to use."""
        self.message = ""
        """`--message`: why this command changes something."""
        self.patient = True
        """Wait for a manager that restarts; off for commands that check if it is reachable."""
        self._config = config
        self._client: Client | None = None
        self._key = ""

    @property
    def config(self) -> Config:
        """Stored login and environment."""
        if self._config is None:
            from headrace.cli.config import Config  # noqa: PLC0415

            self._config = Config()
        return self._config

    @property
    def client(self) -> Client:
        """SDK client of the chosen server. Raises CliError if none can be chosen, or there is no key."""
        if self._client is None:
            target = self.config.target(url=self.url, data=self.data)
            self._client, self._key = self.connect(target, patient=self.patient), target.key
        return self._client

    @property
    def default_project(self) -> str | None:
        """Default project at this server, with this key."""
        url = self.client.url
        return self.config.project(url, self._key)

    def use_project(self, project: str | None) -> None:
        """Store the default project; None removes it. Raises OSError."""
        url = self.client.url
        self.config.use_project(url, self._key, project)

    def project(self, given: str | None, *, of: str = "") -> str | None:
        """Return the chosen project: `given`, then $HEADRACE_PROJECT, then that of `project use`, or None.

        `of`: the object that is looked up in it, by name or id; an id needs no project, and `PROJECT/NAME` has one.
        """
        return given if given is not None or "/" in of or _is_id(of) else self.default_project

    def with_project(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the request with the chosen project, unless it names one itself."""
        default = self.project(None) if asked.get("project") is None else None
        return asked if default is None else {**asked, "project": default}

    def connect(self, target: Target, *, patient: bool = False) -> Client:
        """Return a client of `target`; a patient one waits for a server that restarts. The caller closes it."""
        from headrace.cli.config import is_local  # noqa: PLC0415
        from headrace.sdk import Client  # noqa: PLC0415

        if target.url.startswith("http://") and not is_local(target.url):
            self.output.note(f"warning: the key goes to {target.url} unencrypted; use https")
        try:
            return Client(
                target.url,
                target.key,
                verify=str(target.ca_file) if target.ca_file else True,
                on_wait=self.output.note,
                message=self.message,
                patience_s=PATIENCE_S if patient else 0.0,
                timeout_s=ANSWER_S if patient else THERE_S,
            )
        except ValueError as error:  # the key, the message, or the file of the CA
            raise usage(str(error)) from None

    def close(self) -> None:
        """Close the client, if one was made."""
        if self._client is not None:
            self._client.close()
            self._client = None


def current(ctx: typer.Context) -> Session:
    """Return the session that main() created."""
    return cast("Session", ctx.find_object(Session))


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
