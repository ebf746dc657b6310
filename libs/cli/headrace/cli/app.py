"""The command tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.command import group
from headrace.cli.commands import (
    agent,
    client,
    completion,
    folder,
    login,
    migrate,
    project,
    rule,
    service,
    service_changes,
    service_logs,
    service_receipts,
    service_traffic,
    stack,
    token,
    user,
    version,
)
from headrace.cli.errors import EXIT_CODES
from headrace.cli.session import current

ENVIRONMENT = {
    "HEADRACE_URL": "server; wins over the stored login",
    "HEADRACE_API_KEY": "API key; wins over the stored login",
    "HEADRACE_DATA": "data folder of up, down and status",
    "NO_COLOR": "no colours",
}


def _listed(title: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join([f"{title}:", *(f"  {name:<{width}}  {text}" for name, text in rows.items())])


EPILOG = "\b\n" + "\n\n\b\n".join([
    _listed("Exit codes", {str(int(code)): text for code, text in EXIT_CODES.items()}),
    _listed("Environment", ENVIRONMENT),
])  # fmt: skip


def build() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        name="headrace",
        help="Serve machine-learning models on your own machines.",
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,  # they print local variables, keys among them
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )
    app.callback()(_root)
    for module in (stack, login):
        module.register(app)
    groups = {
        "project": (project,),
        "user": (user,),
        "folder": (folder,),
        "service": (service, service_changes, service_traffic, service_receipts, service_logs),
        "token": (token,),
        "client": (client,),
        "rule": (rule,),
        "agent": (agent,),
    }
    for name, modules in groups.items():
        noun = group(modules[0].HELP)
        for module in modules:
            module.register(noun)
        app.add_typer(noun, name=name)
    for module in (migrate, version, completion):
        module.register(app)
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
