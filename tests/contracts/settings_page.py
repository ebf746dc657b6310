"""Generator of docs/settings.md, from the Settings class of every service."""

from __future__ import annotations

import ast
import inspect
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from headrace.agent.settings import Settings as Agent
from headrace.appproxy.settings import Settings as AppProxy
from headrace.autoscaler.settings import Settings as Autoscaler
from headrace.common.runtime.settings import ServiceSettings
from headrace.manager.settings import Settings as Manager

SERVICES: Final[dict[str, type[ServiceSettings]]] = {
    "manager": Manager,
    "agent": Agent,
    "app-proxy": AppProxy,
    "autoscaler": Autoscaler,
}
_HEAD = """# Settings

Generated from the code by `make contracts`; a test fails when it is not current.

A setting comes from the environment (`<prefix><NAME>`, in capitals), else from a TOML file (names as below), else it has its
default. `<prefix>CONFIG` names the file. Lists and tables are JSON in the environment. Durations are as in ISO 8601 (`PT8S`, `PT1H`, `P7D`),
or a number of seconds. With unknown names, mistyped ones too, and with values that are not allowed a service does not start: it
says which, and what is allowed, in one line each, and ends with status 78."""


def page() -> str:
    """Return the whole document."""
    lines = [_HEAD]
    for service, settings in SERVICES.items():
        config = settings.model_config
        meanings = _meanings(settings)
        lines += [
            f"\n## {service}\n",
            f"Prefix `{config['env_prefix']}`, file `{config['toml_file']}`.\n",
            "| setting | default | allowed | meaning |",
            "|---|---|---|---|",
        ]
        for name, field in settings.model_fields.items():
            cells = (f"`{name}`", _default(field), _allowed(field), meanings.get(name, ""))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _meanings(settings: type[ServiceSettings]) -> dict[str, str]:
    """Return the docstring of each attribute."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if named and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            assert isinstance(field, ast.AnnAssign)
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, Path):
        value = str(value)
    return f"`{value}`" if isinstance(value, str) else f"`{to_json(value).decode().strip(chr(34))}`"


def _bound(value: Any) -> str:
    return f"{value.total_seconds():g} s" if isinstance(value, timedelta) else f"{value:,}"


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    signs = {Gt: ("gt", ">"), Ge: ("ge", "≥"), Lt: ("lt", "<"), Le: ("le", "≤")}
    bounds = [
        f"{sign} {_bound(getattr(bound, attribute))}"
        for kind, (attribute, sign) in signs.items()
        for bound in field.metadata
        if isinstance(bound, kind)
    ]
    return ", ".join(bounds)
