"""Command tree: names and help lines are here, the commands' modules are imported on use.

`--help` and completion are common, and importing every command would take most of their time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from headrace.cli.command import Commands
from headrace.cli.errors import EXIT_CODES
from headrace.cli.session import current

ENVIRONMENT = {
    "HEADRACE_URL": "server; wins over the stored login",
    "HEADRACE_API_KEY": "API key; wins over the stored login",
    "HEADRACE_PROJECT": "project that is meant where none is given; wins over `project use`",
    "HEADRACE_DATA": "data folder of the stack that is meant; wins over the stored login",
    "NO_COLOR": "no colours",
}


_SENTENCE_END = re.compile(r"(?<=\.) ")


def _listed(title: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join([f"{title}:", *(f"  {name:<{width}}  {text}" for name, text in rows.items())])


EPILOG = "\b\n" + "\n\n\b\n".join(
    [
        _listed("Exit codes", {str(int(code)): text for code, text in EXIT_CODES.items()}),
        _listed("Environment", ENVIRONMENT),
    ]
)


@dataclass(frozen=True)
class Entry:
    """Top-level command: its module in headrace.cli.commands, which registers its subcommands, and its help line."""

    module: str
    help: str
    is_group: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Commands of a group that other modules register: space-separated names by module."""


def _group(help: str, module: str, elsewhere: Mapping[str, str] | None = None) -> Entry:
    return Entry(module, help, is_group=True, elsewhere=elsewhere or {})


ENTRIES: Mapping[str, Entry] = {
    "up": Entry(
        "stack",
        "Start everything on this machine and run until Ctrl-C: servers, manager, agents, app-proxy, autoscaler.",
    ),
    "down": Entry("stack", "Stop the stack that `up` started; its data stays."),
    "status": Entry(
        "stack",
        "Show each part of an installation or of the local stack, what is wrong with it and why. Exit status 1: degraded.",
    ),
    "init": Entry(
        "init",
        "Make an installation's files: secrets, certificates, identities, configuration; again: mend what lacks.",
    ),
    "systemd": _group("Units for systemd of the services on this machine: install, uninstall.", "systemd"),
    "login": Entry(
        "login",
        "Log in by API key or by name and password, and store that for later commands (in a file that only you can read).",
    ),
    "logout": Entry("login", "End the login, and delete what is stored of it."),
    "console": Entry("console", "Print a link that logs you in to the web console, once, within a minute."),
    "whoami": Entry("login", "Show the authenticated user, and its projects."),
    "migrate": Entry("migrate", "Migrate the manager's database; idempotent, and safe to run concurrently."),
    "targets": Entry(
        "targets", "Show what Prometheus is told to scrape: agents, app-proxies, engines of replicas (operators)."
    ),
    "backup": Entry(
        "backup", "Back up an installation into one file: database, keys, model folders; it goes on serving meanwhile."
    ),
    "restore": Entry("restore", "Check a backup, or bring it back onto an empty installation: all of it, or nothing."),
    "audit": Entry(
        "audit",
        "List changes: who, from where, when, what; newest first (operators; owners with --project or --service).",
    ),
    "events": Entry("events", "Print what changes: kind, id and project of each thing, and the id of the event."),
    "usage": Entry("usage", "Show usage: requests and tokens of callers, hours of GPUs, cores and memory of replicas."),
    "search": Entry("search", "Search services, folders, projects, machines and users that one may see."),
    "version": Entry("version", "Show the version of this program, and of the server if it is reachable."),
    "completion": Entry(
        "completion", "Print the shell's completion script; load it with: source <(headrace completion bash)."
    ),
    "project": _group("Projects: members, quotas, usage.", "project", {"project_callers": "callers"}),
    "user": _group(
        "Users, their API keys, passwords and logins (operators; everybody for their own).",
        "user",
        {"user_keys": "key keys update-key rm-key", "user_logins": "password logins end-login"},
    ),
    "folder": _group(
        "Model folders: create, upload, browse, download, check, restore.",
        "folder",
        {
            "definitions": "check schema",
            "folder_trash": "trash restore purge",
            "folder_text": "cat edit",
            "folder_shares": "share shares unshare invitations accept decline",
        },
    ),
    "store": _group("Model store: folders that can be run as their definition files say.", "store"),
    "service": _group(
        "Model services: one permanent endpoint and its replicas.",
        "service.listing",
        {
            "service.core": "create show manifest wait scale start stop rm",
            "service.changes": "update rollback restart retry history revisions decisions errors",
            "service.traffic": "traffic weight replace",
            "service.receipts": "receipts",
            "service.callers": "callers",
            "service.metrics": "metrics top",
            "service.logs": "logs validate",
        },
    ),
    "rollout": _group("Rollouts of services: how they stand, pause, resume, promote, abort.", "rollout"),
    "secret": _group("Secrets of a project: values that services get by name, and nobody reads back.", "secret"),
    "webhook": _group("Webhooks: URLs of a project that are told of events of its history (owners).", "webhook"),
    "size": _group("Sizes (resource presets): named amounts of CPU, memory and GPUs for services.", "size"),
    "token": _group("Tokens with which applications call a service, or all services of a project.", "token"),
    "client": _group("Named clients: apps that call a service with basic auth.", "client"),
    "rule": _group("Autoscaling rules of a service.", "rule"),
    "agent": _group("Agents: machines, their resources and kernels (operators).", "agent"),
    "resource-group": _group("Resource groups: sets of machines, which services may name.", "resource_group"),
    "proxy": _group("App-proxies: how further ones join (operators).", "proxy"),
    "autoscaler": _group("Autoscalers: how further ones join (operators).", "autoscaler"),
    "join-token": _group("Tokens with which machines join (operators).", "join_token"),
    "identity": _group("Identities on the bus of who joined (operators).", "identity"),
}


class LazyGroup(TyperGroup):
    """Root group: lists ENTRIES, and imports only the module of the command that is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the command names in the order of ENTRIES."""
        return list(ENTRIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Return the command or group `cmd_name`, or None."""
        entry = ENTRIES.get(cmd_name)
        if entry is None:
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = _loaded(cmd_name)
        return self.commands[cmd_name]

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is named; the error about a value is told without the words of the library that reads it."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            said = getattr(error, "message", None)
            if isinstance(said, str):
                cast("Any", error).message = said.removeprefix("Value error, ")
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the list of commands, without importing their modules."""
        width = formatter.width - 6 - max(map(len, ENTRIES))
        with formatter.section("Commands"):
            formatter.write_dl([(name, _short(entry.help, width)) for name, entry in ENTRIES.items()])


@cache
def _loaded(name: str) -> Any:
    entry = ENTRIES[name]
    holder = Commands(help=entry.help)
    holder.add(f"headrace.cli.commands.{entry.module}")
    for module, names in entry.elsewhere.items():
        holder.add_later(f"headrace.cli.commands.{module}", names.split())
    group = holder.group(name)
    return group if entry.is_group else group.get_command(None, name)


def _short(text: str, width: int) -> str:
    first = _SENTENCE_END.split(text, maxsplit=1)[0]
    return first if len(first) <= width else first[: max(0, width - 3)].rsplit(" ", 1)[0] + "..."


def build() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        name="headrace",
        cls=LazyGroup,
        help="Serve machine-learning models on your own machines.",
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,  # they print local variables, keys among them
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )
    app.callback()(_root)
    return app


def _root(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON. May also stand after the command.")] = False,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Server to talk to.")] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FOLDER", help="Talk to the stack that `up` runs on this data folder."),
    ] = None,
) -> None:
    session = current(ctx)
    session.output.as_json, session.url, session.data = json, url, data
