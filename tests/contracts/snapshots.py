"""Contract snapshots: a JSON Schema per bus message, the OpenAPI document, and the generated docs."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from headrace.common.bus.subjects import STREAMS
from headrace.common.contracts import messages
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.messages.logs import LogChunk
from headrace.manager.api.app import ENDPOINTS
from headrace.manager.api.openapi import make_document
from tests.contracts import lifecycle_table, metrics_page, reasons_page, request_states, settings_page

ROOT = Path(__file__).parents[2]
FOLDER = "tests/contracts"
OPENAPI = f"{FOLDER}/openapi.json"
_ANY_VERSION = "0.0.0"
"""A release must not change the snapshot."""


def all_messages() -> list[type[Message]]:
    """Return every message class, by name."""
    for module in pkgutil.walk_packages(messages.__path__, prefix=f"{messages.__name__}."):
        importlib.import_module(module.name)
    return sorted(_below(Message), key=lambda kind: kind.__name__)


def _below(kind: type[Message]) -> Iterator[type[Message]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def snapshots() -> Mapping[str, Callable[[], str]]:
    """Return the snapshots: path from the repository's root → what makes its text."""
    made: dict[str, Callable[[], str]] = {
        f"{FOLDER}/messages/{kind.__name__}.json": partial(_message, kind) for kind in all_messages()
    }
    pages = {"docs/contracts.md": _page, "docs/settings.md": settings_page.page}
    pages |= {"docs/architecture.md": lifecycle_table.page, "docs/data-plane.md": request_states.page}
    pages |= {"docs/reasons.md": reasons_page.page, "docs/metrics.md": metrics_page.page}
    return made | {OPENAPI: _openapi} | pages


def _message(kind: type[Message]) -> str:
    return _json({"subject": kind.subject, "schema": kind.model_json_schema(mode="serialization")})


def _openapi() -> str:
    return _json(make_document(ENDPOINTS, version=_ANY_VERSION))


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _page() -> str:
    lines = [
        "# Contracts",
        "",
        "Generated from the code by `make contracts`; a test fails when it is not current.",
        "",
        "## Bus messages",
        "",
        "JSON. Unknown fields are ignored and new fields have defaults, so that versions can be mixed during an upgrade.",
        "",
        "| subject | message | kind | from, to, when |",
        "|---|---|---|---|",
    ]
    kinds = all_messages()
    lines += [
        f"| `{_subject(kind)}` | [{kind.__name__}](#{kind.__name__.lower()}) | {_kind(kind)} | {_first(kind)} |"
        for kind in kinds
    ]
    parts: dict[str, Any] = {}
    for kind in kinds:
        schema = kind.model_json_schema(mode="serialization")
        parts |= schema.get("$defs", {})
        lines += _section(kind.__name__, kind.__doc__ or "", schema)
    lines += ["", "## Parts of messages"]
    for name, schema in sorted(parts.items()):
        lines += _section(name, schema.get("description", ""), schema)
    lines += [
        "",
        "## REST",
        "",
        "The whole document is served at `/v1/openapi.json`.",
        "",
        "| method | path | what |",
        "|---|---|---|",
    ]
    lines += [f"| {e.method} | `{e.shown_path}` | {e.documentation.partition(chr(10))[0]} |" for e in ENDPOINTS]
    return "\n".join(lines) + "\n"


def _subject(kind: type[Message]) -> str:
    return "(reply)" if kind.subject == "_reply" else kind.subject


def _kind(kind: type[Message]) -> str:
    if kind in STREAMS.values():
        return "JetStream, last value per subject"
    if kind.subject == "_reply":
        return "reply"
    return "request" if kind.subject.startswith(("rpc.", LogChunk.prefix())) else "core"


def _first(kind: type[Message]) -> str:
    return (kind.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _section(name: str, text: str, schema: Mapping[str, Any]) -> list[str]:
    lines = ["", f"### {name}", "", " ".join(text.split())]
    if "enum" in schema:
        return [*lines, "", "One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + "."]
    required = schema.get("required", ())
    lines += ["", "| field | type | default |", "|---|---|---|"]
    for field, described in schema.get("properties", {}).items():
        default = "" if "default" not in described else f"`{json.dumps(described['default'])}`"
        lines.append(
            f"| `{field}` | {_type(described)} | {default if field not in required or default else 'required'} |"
        )
    return lines


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(choice) for choice in schema[several]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object":
        return f"map of {_type(schema.get('additionalProperties') or {})}"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)
