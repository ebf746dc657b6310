"""Definition files made to hurt: refused with a reason, and soon."""

from __future__ import annotations

import pytest

from headrace.common.contracts.problems import InvalidDefinition
from headrace.manager.domain.definitions.model_definition import parse_definition
from headrace.manager.domain.definitions.service_definition import parse_service_definition

DEFINITION = """
models:
- name: {name}
  model_path: /models
  service:
    start_command: {command}
    port: 8000
    pre_start_actions: {actions}
"""
GOOD = {"name": "m", "command": "[serve]", "actions": "[]"}


@pytest.mark.parametrize("escape", [r"\0", r"\x00", r"\u0000", r"\ud800", r"\udfff"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"name": '"a@b"'},
        {"command": '["serve", "a@b"]'},
        {"command": '"a@b"'},
        {"actions": '[{action: log, args: {message: "a@b"}}]'},
        {"actions": '[{action: write_file, args: {filename: "a@b", body: x}}]'},
        {"actions": '[{action: run_command, args: {command: ["a@b"]}}]'},
        {"name": 'm\n  "a@b": 1'},
    ],
)
def test_yaml_escapes_that_are_no_text(wrong: dict[str, str], escape: str) -> None:
    text = DEFINITION.format(**GOOD | {key: value.replace("@", escape) for key, value in wrong.items()})
    with pytest.raises(InvalidDefinition, match="half of a character"):
        parse_definition(text.encode(), "model-definition.yaml")


def test_toml_escapes_that_are_no_text() -> None:
    for text in ('A = "x\\u0000"', '"\\u0000" = "x"', 'A = ["\\u0000"]'):
        with pytest.raises(InvalidDefinition, match=r"vllm\.environ.*NUL"):
            parse_service_definition(f"[vllm.environ]\n{text}".encode())


@pytest.mark.parametrize(
    "text", ["[a" + ".a" * 60_000 + "]", "a" + ".a" * 60_000 + " = 1", "a" + " . a" * 30_000 + " = 1"]
)
def test_toml_keys_of_many_parts_never_reach_the_parser(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = []  # the parser alone would take half a minute
    monkeypatch.setattr("headrace.common.text.tomltext.tomllib.loads", reached.append)
    with pytest.raises(InvalidDefinition, match="dots"):
        parse_service_definition(text.encode())
    assert reached == []
