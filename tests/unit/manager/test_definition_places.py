"""Where an error is in a definition file, checks of files, and their JSON Schemas."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.vocabulary import DefinitionKind
from headrace.common.text.plain import TextError
from headrace.common.text.tomltext import load_toml, toml_places
from headrace.common.text.yamltext import load_yaml, load_yaml_with_places
from headrace.manager.domain.definitions.checking import check, kind_of
from headrace.manager.domain.definitions.schemas import schema_of

ROOT = Path(__file__).parents[3]
MODEL = """\
# a model
models:
  - name: m
    model_path: models
    service:
      start_command: [serve]
      port: 0
      health_check:
        interval: 5
      prot: 1
"""
SERVICE = """\
[vllm.environment]
image = "a..b"
architecture = "x86_64"

[vllm.resource_slots]
cpu = 1
"cuda.shares" = -1   # quoted, with a dot

[vllm.environ]
LONG = '''
[not.a.table]
'''
HEADRACE_PORT = 1
[sglang]
environ.CUDA_MPS_X = "1"
resource_slots = {cpu = "many"}
[vlm]
"""


def places(path: str, text: str | bytes) -> dict[str, tuple[int | None, int | None]]:
    """Return line and column of each error."""
    found = check(text if isinstance(text, bytes) else text.encode(), path)
    return {error["path"]: (error.get("line"), error.get("column")) for error in found.errors}


def test_each_error_of_a_model_definition_has_its_line_and_column() -> None:
    service = "models[0].service"
    assert places("model-definition.yaml", MODEL) == {
        "models[0].model_path": (4, 5),
        f"{service}.port": (7, 7),
        f"{service}.health_check.path": (8, 7),
        f"{service}.prot": (10, 7),
    }


def test_each_error_of_a_service_definition_has_its_line_and_column() -> None:
    assert places("service-definition.toml", SERVICE) == {
        "vllm.resource_slots.cuda.shares": (7, 1),
        "sglang.resource_slots.cpu": (16, 1),
        "vlm": (17, 1),
    }
    right = SERVICE.replace("-1 ", "1 ").replace('"many"', "1").replace("[vlm]\n", "")
    assert places("service-definition.toml", right) == {
        "vllm.environment.image": (2, 1),
        "vllm.environ.HEADRACE_PORT": (13, 1),
        "sglang.environ.CUDA_MPS_X": (15, 1),
    }
    twice = '[vllm]\nenviron.A = "x"\nsecret_environ.A = "hub"\n'
    assert places("service-definition.toml", twice) == {"vllm.secret_environ.A": (3, 1)}


@pytest.mark.parametrize(
    ("path", "text", "place"),
    [
        ("m.yaml", "models:\n  - [\n", (3, 1)),
        ("m.yaml", "models: &a [*a]\n", (1, 9)),
        ("m.yaml", "a: 1\nb: 2\na: 3\n", (3, 1)),
        ("m.yaml", "? [a]\n: 1\n", (1, 3)),
        ("m.yaml", "", (None, None)),
        ("m.yaml", b"\xff", (None, None)),
        ("service-definition.toml", "[vllm]\nimage = \n", (2, 9)),
        ("service-definition.toml", "a = 1\n" + "a" + ".a" * 200 + " = 1\n", (2, 1)),
    ],
)
def test_a_file_that_is_no_yaml_or_toml_says_where(path: str, text: str | bytes, place: tuple[int, int]) -> None:
    assert list(places(path, text).values()) == [place]


def test_which_file_a_path_is() -> None:
    assert (kind_of("a/model.yml"), kind_of("service-definition.toml")) == ("model-definition", "service-definition")
    with pytest.raises(InvalidRequest):
        kind_of("weights.bin")
    right = check(b"[vllm]\n[cmd.environ]\nA = 1\n", "service-definition.toml")
    assert (right.names, right.errors) == (("vllm", "cmd"), ())


keys = st.sampled_from(["a", "b", "'c d'", '"e"', "f-g"])
values = st.sampled_from(["1", "'#'", '"="', "[1, 2]", "[\n1,\n]", "{x = 1}", "'''\n[z]\n'''", '"""a\n="""'])
lines = st.builds(
    lambda key, value: f"{key} = {value} # k = 1", st.lists(keys, min_size=1, max_size=3).map(".".join), values
)
tables = st.lists(keys, min_size=1, max_size=3).map(lambda parts: f"[{'.'.join(parts)}]")


@given(st.lists(lines | tables, max_size=8).map("\n".join))
def test_places_of_toml_are_where_the_keys_are(text: str) -> None:
    try:
        data = load_toml(text)
    except TextError:
        return
    for path, (line, column) in toml_places(text).items():
        value: Any = data
        for part in path.split("."):
            value = value[part]
        written = text.split("\n")[line - 1][column - 1 :]
        last = path.rpartition(".")[2]
        assert last in written, f"{path} at {line}:{column} of {text!r}"


@given(st.text(alphabet="ab: -[]{}\n'\"#&*", max_size=60))
def test_places_of_yaml_lie_in_the_text(text: str) -> None:
    try:
        data, found = load_yaml_with_places(text)
    except TextError:
        return
    assert data == load_yaml(text)
    assert all(1 <= line <= text.count("\n") + 1 and column >= 1 for line, column in found.values())


FILES = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("examples/*/*-definition.*"))


@pytest.mark.parametrize("file", FILES)
def test_our_examples_are_right_by_check_and_schema(file: str) -> None:
    text = (ROOT / file).read_text()
    assert check(text.encode(), file).errors == ()
    kind: DefinitionKind = kind_of(file)
    data = yaml.safe_load(text) if kind == "model-definition" else tomllib.loads(text)
    Draft202012Validator(schema_of(kind)).validate(data)


def test_a_schema_refuses_what_the_parser_refuses() -> None:
    wrong: list[tuple[DefinitionKind, Any]] = [
        ("model-definition", yaml.safe_load(MODEL)),
        ("service-definition", {"vlm": {}}),
        ("service-definition", {"vllm": {"environment": {"image": "x"}}}),
    ]
    for kind, data in wrong:
        assert not Draft202012Validator(schema_of(kind)).is_valid(data)
    action = "{action: write_file, args: {filename: a, body: b, mode: 644}}"
    service = f"{{start_command: s, port: 1, pre_start_actions: [{action}]}}"
    text = f"models: [{{name: m, model_path: /m, service: {service}}}]"
    Draft202012Validator(schema_of("model-definition")).validate(yaml.safe_load(text))
