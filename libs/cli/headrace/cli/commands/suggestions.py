"""Shell completion of names: those that the server tells within a second, else those that it told the last time.

The shell waits for them while a user types: on any error nothing is printed, and what is in the cache is suggested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice
from threading import Thread
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from headrace.cli.config import Config, Target
    from headrace.sdk import Client

LIMIT_S: Final = 1.0
"""How long the server may take for names."""
_MAX_NAMES: Final = 1_000
"""Names of one kind that are read, and kept."""

Reader = Callable[["Client", "Typed"], Iterable[str]]


class Typed:
    """What is on the command line so far."""

    def __init__(self, context: typer.Context, incomplete: str, config: Config, target: Target) -> None:
        self.incomplete = incomplete
        root = context.find_root().params
        self._given = {**root, **context.params}
        self._config, self._target = config, target

    @property
    def service(self) -> str:
        """Service that was named; '' if none was."""
        return self._text("service")

    @property
    def user(self) -> str:
        """User that was named; '' if none was."""
        return self._text("user")

    @property
    def project(self) -> str | None:
        """Project that was named, or is meant where none is."""
        return self._text("project") or self._config.project(self._target.url, self._target.key)

    def _text(self, name: str) -> str:
        found = self._given.get(name)
        return found if isinstance(found, str) else ""


def _completer(kind: str, read: Reader) -> Callable[[typer.Context, str], list[str]]:
    """Return the function that typer calls for a parameter whose values are names of this kind."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        return _names(kind, read, ctx, incomplete)

    return complete


def _project(client: Client, typed: Typed) -> str:
    """Return the project whose secrets are meant: the caller's only one where none is named."""
    named = typed.project
    return named if named is not None else next(p.name for p in client.projects.list())


complete_service = _completer("service", lambda c, typed: (s.name for s in c.services.list(q=typed.incomplete or None)))
complete_model = _completer("model", lambda c, typed: (m.name for m in c.models.list(q=typed.incomplete or None)))
complete_folder = _completer(
    "folder",
    lambda c, _: chain(
        (f.name for f in c.folders.list()), (f"{f.project}/{f.name}" for f in c.folders.list(shared=True))
    ),
)
complete_project = _completer("project", lambda c, _: (p.name for p in c.projects.list()))
complete_user = _completer("user", lambda c, _: (u.name for u in c.users.list()))
complete_agent = _completer("agent", lambda c, _: (a.id for a in c.agents.list()))
complete_size = _completer("size", lambda c, _: (s.name for s in c.resource_presets.list()))
complete_group = _completer("group", lambda c, _: (g.name for g in c.resource_groups.list()))
complete_identity = _completer("identity", lambda c, _: (i.name for i in c.identities.list()))
complete_secret = _completer(
    "secret of {project}", lambda c, typed: (s.name for s in c.secrets.list(_project(c, typed)))
)
complete_client = _completer("client of {service}", lambda c, typed: (k.name for k in c.clients.list(typed.service)))
complete_rule = _completer("rule of {service}", lambda c, typed: (str(r.id) for r in c.rules.list(typed.service)))
complete_replica = _completer(
    "replica of {service}", lambda c, typed: (str(r.id) for r in c.services.get(typed.service).replica_list)
)
complete_revision = _completer(
    "revision of {service}", lambda c, typed: (str(r.number) for r in c.services.revisions(typed.service))
)


def _names(kind: str, read: Reader, ctx: typer.Context, incomplete: str) -> list[str]:
    from headrace.cli.config import Config  # noqa: PLC0415 - every command has completion, few runs complete
    from headrace.cli.errors import CliError  # noqa: PLC0415
    from headrace.cli.names import NameCache  # noqa: PLC0415

    root = ctx.find_root().params
    try:
        config = Config(patient=False)
        target = config.target(url=root.get("url"), data=root.get("data"))
        typed = Typed(ctx, incomplete, config, target)
        of = kind.format(project=typed.project or "", service=typed.service)
    except (CliError, OSError, ValueError):
        return []
    cache = NameCache(config.names_file, target)
    known = cache.names(of)
    found = _asked(target, lambda client: read(client, typed))
    if found is not None:
        # of some kinds the server was asked only for what has the typed text
        known = sorted({*found, *(name for name in known if incomplete not in name)})[:_MAX_NAMES]
        cache.keep(of, known)
    return [name for name in known if name.startswith(incomplete)]


def _asked(target: Target, read: Callable[[Client], Iterable[str]]) -> list[str] | None:
    """Return the names that the server tells; None if they do not come in time."""
    from headrace.sdk import Client, HeadraceError  # noqa: PLC0415

    found: list[list[str]] = []

    def ask() -> None:
        try:
            with Client(
                target.url,
                target.key,
                timeout_s=LIMIT_S,
                connect_timeout_s=LIMIT_S,
                retries=0,
                verify=str(target.ca_file) if target.ca_file else True,
            ) as client:
                found.append(list(islice(read(client), _MAX_NAMES)))
        except (HeadraceError, OSError, ValueError, StopIteration):
            pass

    asking = Thread(target=ask, daemon=True)  # each answer may take its time, and there may be several
    asking.start()
    asking.join(LIMIT_S)
    return found[0] if found else None
