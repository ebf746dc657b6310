"""model-definition.yaml and service-definition.toml: what is accepted, and how every wrong file is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.model import MkdirAction, WriteFileAction
from headrace.common.contracts.problems import MAX_ERRORS, InvalidDefinition, InvalidRequest
from headrace.common.text.plain import TextError
from headrace.common.text.yamltext import load_yaml
from headrace.manager.domain.definitions.model_definition import Model, choose, parse_definition
from headrace.manager.domain.definitions.service_definition import parse_service_definition

ROOT = Path(__file__).parents[3]
FILE = "model-definition.yaml"
GOOD = """
models:
  - name: m
    model_path: /models
    service:
      start_command: [python, -m, http.server, "8000"]
      port: 8000
      health_check:
        path: /health
"""


SERVICE = "models[0].service"
ACTION = f"{SERVICE}.pre_start_actions[0]"
COMMAND = 'start_command: [python, -m, http.server, "8000"]'


def acting(action: str) -> str:
    """Return GOOD with this pre-start action."""
    return GOOD.replace("      port", f"      pre_start_actions: [{action}]\n      port")


def only(text: str) -> Model:
    """Return the model of a file that has one."""
    (model,) = parse_definition(text.encode(), FILE)
    return model


def refused(text: str | bytes) -> list[dict[str, str]]:
    """Return the errors of a wrong file."""
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(text if isinstance(text, bytes) else text.encode(), FILE)
    assert caught.value.extra["file"] == FILE
    errors: list[dict[str, str]] = caught.value.extra["errors"]
    assert all(
        {"path", "found", "allowed"} <= set(error) <= {"path", "found", "allowed", "line", "column"} for error in errors
    )
    return errors


def test_the_seeds_example_verbatim() -> None:
    (model,) = parse_definition((ROOT / "examples/simple-http-server/model-definition.yaml").read_bytes(), FILE)
    assert (model.name, model.model_path, model.service.port) == ("simple-http-server", "/models", 8000)
    assert model.service.start_command == ("python", "-m", "http.server", "--directory", "/home/work", "8000")
    check = model.service.health_check
    assert check is not None
    assert check.model_dump() == {
        "path": "/",
        "interval": 10.0,
        "max_retries": 10,
        "max_wait_time": 15.0,
        "expected_status_code": 200,
        "initial_delay": 60.0,
    }


@pytest.mark.parametrize(
    "file", sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("examples/*/model-definition.yaml"))
)
def test_our_examples_are_right(file: str) -> None:
    assert only((ROOT / file).read_text()).service.start_command


def test_defaults_and_what_may_be_left_out() -> None:
    model = only(GOOD)
    check = model.service.health_check
    assert check is not None
    assert (
        check.interval,
        check.max_retries,
        check.max_wait_time,
        check.expected_status_code,
        check.initial_delay,
    ) == (10, 10, 15, 200, 60)
    assert model.service.pre_start_actions == ()
    without = only(GOOD.replace("      health_check:\n        path: /health\n", ""))
    assert without.service.health_check is None, "then it is ready when its port accepts a connection"
    empty = only(GOOD.replace("      port", "      pre_start_actions:\n      port"))
    assert empty.service.pre_start_actions == ()


def test_a_text_is_run_by_a_shell_and_numbers_in_a_list_are_text() -> None:
    line = GOOD.replace('[python, -m, http.server, "8000"]', "python -m http.server $PORT && echo 'done'")
    assert only(line).service.start_command == (
        "/bin/sh",
        "-c",
        "python -m http.server $PORT && echo 'done'",
    )
    words = GOOD.replace('[python, -m, http.server, "8000"]', "[serve, --port, 8000, --fraction, 0.9]")
    assert only(words).service.start_command == (
        "serve",
        "--port",
        "8000",
        "--fraction",
        "0.9",
    )


def test_all_five_actions_modes_and_braces() -> None:
    actions = """
      pre_start_actions:
        - action: write_file
          args: {filename: /home/work/a, body: "{not} {{a}} template", mode: 0755, append: true}
        - action: write_tempfile
          args: {body: "print(1)", mode: "600"}
        - action: run_command
          args: {command: [ls, -l]}
        - action: mkdir
          args: {path: /home/work/b}
        - action: log
          args: {message: hello, debug: yes}
      port"""
    service = only(GOOD.replace("\n      port", actions)).service
    first = service.pre_start_actions[0]
    assert isinstance(first, WriteFileAction)
    assert (first.args.body, first.args.mode, first.args.append) == ("{not} {{a}} template", "755", True)
    assert isinstance(service.pre_start_actions[3], MkdirAction)
    assert [action.action for action in service.pre_start_actions] == [
        "write_file",
        "write_tempfile",
        "run_command",
        "mkdir",
        "log",
    ]


def test_metadata_is_read_and_numbers_in_it_are_text() -> None:
    text = (
        GOOD
        + "    metadata: {author: a, version: 1.10, license: MIT, label: [x], framework: [torch], min_resource: {cpu: 2, mem: 8g}}\n"
    )
    metadata = only(text).metadata
    assert metadata is not None
    assert (metadata.version, metadata.label) == ("1.10", ("x",))
    assert metadata.min_resource["mem"] == 8 * 2**30


def test_one_of_several_models_is_served_by_choice() -> None:
    models = parse_definition((GOOD + GOOD.replace("\nmodels:\n", "").replace("name: m", "name: n")).encode(), FILE)
    assert [model.name for model in models] == ["m", "n"]
    chosen = choose(models, "n", FILE)
    assert (chosen.model.name, chosen.path("service", "port")) == ("n", "models[1].service.port")
    assert choose(models[:1], None, FILE).model.name == "m", "one need not be chosen"
    for wanted, found in ((None, "nothing"), ("o", "o")):
        with pytest.raises(InvalidRequest) as caught:
            choose(models, wanted, FILE)
        assert caught.value.extra["errors"] == [
            {"field": "model", "found": found, "allowed": f"a model of {FILE}: m, n"}
        ]


WHOLE = "(file)"
WRONG: dict[str, tuple[str | bytes, str, str]] = {
    "empty": ("", WHOLE, "an empty file"),
    "only a comment": ("# nothing\n", WHOLE, "an empty file"),
    "a list": ("- a\n", WHOLE, "a list of 1"),
    "a word": ("models\n", WHOLE, "models"),
    "broken": ("models: [\n", WHOLE, "line 2, column 1"),
    "a tab": ("models:\n\t- a\n", WHOLE, "line 2, column 1"),
    "two documents": ("a: 1\n---\nb: 2\n", WHOLE, "line 2"),
    "not text": (b"\xff\xfe", WHOLE, "a byte at 0 that is not UTF-8"),
    "a NUL": (b"models: a\x00", WHOLE, "a NUL character"),
    "too large": (b"#" * 300_000, WHOLE, "more than 131072 bytes"),
    "no models": ("model: []\n", "models", "nothing"),
    "no model in it": ("models: []\n", "models", "an empty list"),
    "a wrong second model": (GOOD + "  - {name: b}\n", "models[1].service", "nothing"),
    "a name twice": (GOOD + GOOD.replace("\nmodels:\n", ""), "models[1].name", "m, again"),
    "too many models": (
        "models:\n" + "".join(GOOD.replace("\nmodels:\n", "").replace("name: m", f"name: m{n}") for n in range(101)),
        "models",
        "101 items",
    ),
    "metadata that is a book": (
        GOOD + f"    metadata: {{author: '{'a' * 9000}', title: '{'t' * 9000}'}}\n",
        "models[0].metadata",
        "18",
    ),
    "a minimum that is no amount": (
        GOOD + "    metadata: {min_resource: {cpu: lots}}\n",
        "models[0].metadata.min_resource.cpu",
        "lots",
    ),
    "models is a mapping": ("models: {name: m}\n", "models", "a mapping with name"),
    "a model is a text": ("models: [m]\n", "models[0]", "m"),
    "no name": (GOOD.replace("name: m\n    ", ""), "models[0].name", "nothing"),
    "name is a number": (GOOD.replace("name: m", "name: 5"), "models[0].name", "5"),
    "model_path is relative": (GOOD.replace("/models", "models"), "models[0].model_path", "models"),
    "no service": ("models: [{name: m, model_path: /m}]\n", "models[0].service", "nothing"),
    "no start_command": (GOOD.replace(COMMAND, "pre_start_actions: []"), f"{SERVICE}.start_command", "nothing"),
    "empty start_command": (
        GOOD.replace('[python, -m, http.server, "8000"]', '""'),
        f"{SERVICE}.start_command",
        "an empty text",
    ),
    "start_command is a mapping": (
        GOOD.replace('[python, -m, http.server, "8000"]', "{run: it}"),
        f"{SERVICE}.start_command",
        "a mapping with run",
    ),
    "start_command is a long text": (
        GOOD.replace('[python, -m, http.server, "8000"]', "x" * 65_537),
        f"{SERVICE}.start_command",
        "65537 characters",
    ),
    "a boolean in start_command": (GOOD.replace('"8000"]', "true]"), f"{SERVICE}.start_command", "a list of 4"),
    "port 0": (GOOD.replace("port: 8000", "port: 0"), f"{SERVICE}.port", "0"),
    "port true": (GOOD.replace("port: 8000", "port: true"), f"{SERVICE}.port", "True"),
    "port 80.5": (GOOD.replace("port: 8000", "port: 80.5"), f"{SERVICE}.port", "80.5"),
    "an unknown key": (GOOD.replace("port:", "prot: 1\n      port:"), f"{SERVICE}.prot", "a field of this name"),
    "an unknown key at the top": ("version: 1\n" + GOOD, "version", "a field of this name"),
    "health check without path": (
        GOOD.replace("path: /health", "interval: 1"),
        f"{SERVICE}.health_check.path",
        "nothing",
    ),
    "health check path without /": (GOOD.replace("/health", "health"), f"{SERVICE}.health_check.path", "health"),
    "interval 0": (GOOD + "        interval: 0\n", f"{SERVICE}.health_check.interval", "0"),
    "interval is nan": (GOOD + "        interval: .nan\n", f"{SERVICE}.health_check.interval", "nan"),
    "max_retries is a text": (GOOD + "        max_retries: many\n", f"{SERVICE}.health_check.max_retries", "many"),
    "status code 600": (
        GOOD + "        expected_status_code: 600\n",
        f"{SERVICE}.health_check.expected_status_code",
        "600",
    ),
    "initial_delay true": (GOOD + "        initial_delay: true\n", f"{SERVICE}.health_check.initial_delay", "True"),
    "an unknown action": (acting("{action: dance}"), f"{ACTION}.action", "dance"),
    "an action without its name": (acting("{args: {}}"), f"{ACTION}.action", "nothing"),
    "an action without args": (acting("{action: mkdir}"), f"{ACTION}.args", "nothing"),
    "a mode that is none": (
        acting("{action: write_file, args: {filename: a, body: b, mode: 888}}"),
        f"{ACTION}.args.mode",
        "888",
    ),
    "an argument that is none": (
        acting("{action: mkdir, args: {path: a, mode: 700}}"),
        f"{ACTION}.args.mode",
        "a field of this name",
    ),
    "a command that is a text": (
        acting("{action: run_command, args: {command: ls -l}}"),
        f"{ACTION}.args.command",
        "ls -l",
    ),
    "the same key twice": (
        GOOD + "        path: /again\n",
        f"{SERVICE}.health_check.path",
        "the key stands twice (again in line 10)",
    ),
    "a merge key": ("a: &a {name: m}\nmodels:\n  - <<: *a\n", "models[0].<<", "a merge key"),
    "a key that is a list": ("? [a, b]\n: 1\n", WHOLE, "line 1: a key that is not text"),
    "itself": ("models: &a [*a]\n", "models" + "[0]" * 50, "nested deeper than 50"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_refused_with_path_found_and_allowed(kind: str) -> None:
    text, path, found = WRONG[kind]
    errors = refused(text)
    assert any(error["path"] == path and error["found"].startswith(found) and error["allowed"] for error in errors), (
        errors
    )


def test_of_many_errors_the_first_are_said_and_the_others_counted() -> None:
    errors = refused(GOOD + "".join(f"        unknown{n}: 1\n" for n in range(50)))
    assert len(errors) == MAX_ERRORS
    assert errors[0]["path"] == f"{SERVICE}.health_check.unknown0"
    assert (errors[-1]["path"], errors[-1]["found"]) == ("…", f"{50 - (MAX_ERRORS - 1)} more errors")


def test_what_is_allowed_is_said_in_words() -> None:
    assert refused(WRONG["an unknown key"][0])[0]["allowed"].endswith("(did you mean port?)")
    assert (
        refused(WRONG["an unknown action"][0])[0]["allowed"]
        == "one of write_file, write_tempfile, run_command, mkdir, log"
    )
    assert refused(WRONG["an argument that is none"][0])[0]["allowed"] == "one of path"
    assert refused(WRONG["max_retries is a text"][0])[0]["allowed"] == "a whole number"
    assert len(refused("models: [{}]\n")) == 3, "all errors at once"


def test_aliases_cannot_blow_up() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
    )
    errors = refused(bomb)
    assert errors[0]["found"] == "more than 5000 values (aliases counted)"
    assert refused("[" * 5000)[0]["allowed"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 644),
        ("0o644", 420),
        ("0x1F", 31),
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-7", -7),
        ("true", True),
        ("'true'", "true"),
        ("!!str 5", "5"),
        ("1_000", "1_000"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = load_yaml(text)
    assert read == value
    assert isinstance(read, float) if isinstance(value, float) else type(read) is type(value)


@given(st.text(max_size=200))
def test_any_text_is_data_or_a_yaml_error(text: str) -> None:
    with suppress(TextError):
        load_yaml(text)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_model_or_refused(content: bytes) -> None:
    with suppress(InvalidDefinition):
        parse_definition(content, FILE)


def test_the_seeds_service_definition() -> None:
    text = b"""
[vllm.environment]
image        = "example.com/model-server:latest"
architecture = "x86_64"
[vllm.resource_slots]
cpu = 1
mem = "8gb"
"cuda.shares" = "0.5"
[vllm.environ]
MODEL_NAME = "example-model-name"
VERSION = 1.10
WORKERS = 4
DEBUG = true
"""
    defaults = parse_service_definition(text)["vllm"]
    assert defaults.environment is not None
    assert defaults.environment.image == "example.com/model-server:latest"
    assert {name: str(amount) for name, amount in defaults.resource_slots.items()} == {
        "cpu": "1",
        "mem": "8589934592",
        "cuda.shares": "0.5",
    }
    assert defaults.environ == {"MODEL_NAME": "example-model-name", "VERSION": "1.10", "WORKERS": "4", "DEBUG": "true"}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a = [", WHOLE),
        ("a = 1\na = 2\n", WHOLE),
        ("[vlm.environment]\n", "vlm"),
        ("[custom.environment]\nimage = 'i'\n", "custom.environment.architecture"),
        ("[custom.environment]\narchitecture = 'x86_64'\n", "custom.environment.image"),
        ("[custom.environment]\nimage = 'i'\narchitecture = 'arm'\n", "custom.environment.architecture"),
        ("[custom.environ]\n'a b' = 'x'\n", "custom.environ.a b"),
        ("[custom.environ]\nA = [1]\n", "custom.environ.A"),
        ("[custom.resource_slots]\ncpu = 'many'\n", "custom.resource_slots.cpu"),
        ("[custom.resource_slots]\ncpu = 0\n", "custom.resource_slots.cpu"),
        ("[custom.resource_slots]\nmem = '1k'\n", "custom.resource_slots.mem"),
        ("[custom.resource_slots]\ncuda.shares = 1\n", "custom.resource_slots.cuda"),
        ("[custom.slots]\ncpu = 1\n", "custom.slots"),
        ("custom = 1\n", "custom"),
    ],
)
def test_a_wrong_service_definition_is_refused(text: str, path: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_service_definition(text.encode())
    assert caught.value.extra["file"] == "service-definition.toml"
    assert [error["path"] for error in caught.value.extra["errors"]] == [path]
