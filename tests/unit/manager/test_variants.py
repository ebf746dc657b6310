"""From what is asked for to what runs: all seven variants, precedence, mounts, names."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.common.contracts.ids import FolderId, ImportId, new_uuid
from headrace.common.contracts.messages.plans import NO_FOLDER
from headrace.common.contracts.model_uri import ModelSource
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.slots import parse_size
from headrace.common.contracts.vocabulary import RuntimeVariant
from headrace.manager.domain.definitions.model_definition import choose, parse_definition
from headrace.manager.domain.definitions.service_definition import ServiceDefaults
from headrace.manager.domain.variants.engines import ENGINES, choose_weights
from headrace.manager.domain.variants.inputs import FolderFacts, Inputs
from headrace.manager.domain.variants.resolve import resolve
from headrace.manager.domain.variants.resolved_spec import Resolution, ResolvedSpec

GIB = 2**30
MODEL = FolderFacts(FolderId(new_uuid()), "weights", "model", ("a.gguf", "readme.md"))
DATA = FolderFacts(FolderId(new_uuid()), "corpus", "data")
DEFINITION = choose(
    parse_definition(
        b"models: [{name: mine, model_path: /models/v1, service: {start_command: serve it, port: 9000,"
        b" health_check: {path: /up, interval: 2}, pre_start_actions: [{action: mkdir, args: {path: /home/work/x}}]},"
        b" metadata: {title: Mine}}]",
        "model-definition.yaml",
    ),
    None,
    "model-definition.yaml",
)


def resolution(inputs: Inputs | None = None, **spec: Any) -> Resolution:
    """Resolve a spec whose folder, where named, is MODEL."""
    wanted = RevisionSpec(**{"runtime": "cmd", **spec})
    return resolve(wanted, inputs or Inputs("chat", folder=MODEL if wanted.folder else None))


def resolved(inputs: Inputs | None = None, **spec: Any) -> ResolvedSpec:
    """Return what its replicas are started with."""
    return resolution(inputs, **spec).spec


def refused(inputs: Inputs | None = None, **spec: Any) -> list[str]:
    """Return the fields that are refused."""
    with pytest.raises(InvalidRequest) as caught:
        resolved(inputs, **spec)
    return [error["field"] for error in caught.value.extra["errors"]]


@pytest.mark.parametrize(
    ("runtime", "port", "path", "word"),
    [
        ("vllm", 8000, "/health", "serve"),
        ("sglang", 30000, "/health", "sglang.launch_server"),
        ("nim", 8000, "/v1/health/ready", None),
        ("huggingface-tgi", 80, "/health", "text-generation-launcher"),
        ("llama-cpp", 8080, "/health", "-c"),
    ],
)
def test_prebuilt_variants_need_no_definition(runtime: str, port: int, path: str, word: str | None) -> None:
    spec = resolved(runtime=runtime, folder="weights", image="img")
    assert spec.port == port
    assert spec.health_check is not None
    assert spec.health_check.path == path
    assert word in spec.command if word else spec.command == ()
    assert (spec.model_path, spec.model_name, spec.folder_id) == ("/models", "chat", MODEL.id)
    assert [(mount.target, mount.read_only) for mount in spec.mounts] == [("/models", True)]
    moved = resolved(runtime=runtime, folder="weights", port=9999)
    assert moved.port == 9999
    assert "9999" in " ".join(moved.command) or moved.environ == {"NIM_HTTP_API_PORT": "9999"}


def test_loading_may_take_ten_minutes() -> None:
    for engine in ENGINES.values():
        check = engine.health_check()
        assert check.initial_delay + check.interval * (check.max_retries + 1) >= 600


def test_llama_cpp_finds_its_file() -> None:
    assert "a.gguf" in resolved(runtime="llama-cpp", folder="weights").command[2]
    assert (
        choose_weights(["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"])
        == "m-00001-of-00003.gguf"
    )
    assert choose_weights(["a.gguf", "b.gguf"]) is None
    two = FolderFacts(MODEL.id, "two", "model", ("a.gguf", "b.gguf"))
    assert refused(Inputs("chat", folder=two), runtime="llama-cpp", folder="two") == ["folder"]
    odd = FolderFacts(MODEL.id, "odd", "model", ("a'; rm -rf $HOME.gguf",))
    assert (
        "'a'\"'\"'; rm -rf $HOME.gguf'"
        in resolved(Inputs("chat", folder=odd), runtime="llama-cpp", folder="odd").command[2]
    )


def test_cmd_takes_the_images_command_or_the_given_one() -> None:
    plain = resolved(image="img")
    assert (plain.command, plain.port, plain.health_check, plain.mounts) == ((), 8000, None, ())
    assert resolved(command="a | b", port=1).command == ("/bin/sh", "-c", "a | b")
    assert resolved(command=["a", "b"]).command == ("a", "b")
    assert resolved(folder="weights", model_destination="/srv/m/").mounts[0].target == "/srv/m"
    assert resolved(folder="weights", model_destination="/srv/m").model_path == "/srv/m"


def test_custom_is_what_the_definition_says() -> None:
    spec = resolved(Inputs("chat", folder=MODEL, definition=DEFINITION), runtime="custom", folder="weights")
    assert (spec.command, spec.port, spec.model_path, spec.model_name) == (
        ("/bin/sh", "-c", "serve it"),
        9000,
        "/models/v1",
        "mine",
    )
    assert spec.health_check is not None
    assert spec.health_check.path == "/up"
    assert [action.action for action in spec.pre_start_actions] == ["mkdir"]


def test_request_over_file_over_defaults() -> None:
    defaults = ServiceDefaults.model_validate(
        {
            "environment": {"image": "file", "architecture": "aarch64"},
            "resource_slots": {"cpu": 2, "cuda.shares": "0.5"},
            "environ": {"A": "file", "B": "file"},
        }
    )
    inputs = Inputs("chat", defaults=defaults)
    spec = resolved(inputs)
    assert (spec.image, spec.architecture, spec.environ) == ("file", "aarch64", {"A": "file", "B": "file"})
    assert spec.slots == {"cpu": 2, "mem": GIB, "cuda.shares": Decimal("0.5")}
    spec = resolved(
        inputs, image="asked", architecture="x86_64", environ={"A": "asked"}, slots={"mem": "2g", "cuda.device": 1}
    )
    assert (spec.image, spec.architecture, spec.environ) == ("asked", "x86_64", {"A": "asked", "B": "file"})
    assert spec.slots == {"cpu": 2, "mem": 2 * GIB, "cuda.device": 1}, "whole GPUs put fractions aside"
    assert resolved(inputs, slots={"cuda.shares": 0}).slots == {"cpu": 2, "mem": GIB}
    assert resolved().slots == {"cpu": 1, "mem": GIB}


def test_request_over_model_definition_over_service_definition_over_baseline_each_with_its_origin() -> None:
    defaults = ServiceDefaults.model_validate(
        {
            "environment": {"image": "file", "architecture": "aarch64"},
            "resource_slots": {"cpu": 2, "cuda.shares": "0.5"},
            "environ": {"A": "file", "B": "file"},
        }
    )
    inputs = Inputs("chat", folder=MODEL, definition=DEFINITION, defaults=defaults)
    found = resolution(
        inputs,
        runtime="custom",
        folder="weights",
        command="mine",
        image="asked",
        environ={"A": "asked"},
        slots={"cuda.device": 1},
    )
    spec = found.spec
    assert (spec.image, spec.architecture, spec.environ) == ("asked", "aarch64", {"A": "asked", "B": "file"})
    assert (spec.command, spec.port, spec.model_name) == (("/bin/sh", "-c", "mine"), 9000, "mine")
    assert spec.slots == {"cpu": 2, "mem": GIB, "cuda.device": 1}
    assert found.metadata is not None
    assert found.metadata.title == "Mine"

    def said(source: str) -> dict[str, str]:
        return {path: origin.path for path, origin in found.origins.items() if origin.source == source}

    assert said("request") == {
        "command": "command",
        "image": "image",
        "environ.A": "environ.A",
        "slots.cuda.device": "slots.cuda.device",
        "mounts[0]": "folder",
    }
    assert said("model-definition") == {
        "model_name": "models[0].name",
        "model_path": "models[0].model_path",
        "port": "models[0].service.port",
        "health_check.path": "models[0].service.health_check.path",
        "health_check.interval": "models[0].service.health_check.interval",
        "pre_start_actions": "models[0].service.pre_start_actions",
    }
    assert said("service-definition") == {
        "architecture": "custom.environment.architecture",
        "slots.cpu": "custom.resource_slots.cpu",
        "environ.B": "custom.environ.B",
    }
    assert set(said("baseline")) == {
        "runtime",
        "shm_size",
        "slots.mem",
        "health_check.max_retries",
        "health_check.max_wait_time",
        "health_check.expected_status_code",
        "health_check.initial_delay",
    }
    assert found.origins["port"].file == "model-definition.yaml"
    assert found.origins["slots.cpu"].file == "service-definition.toml"


def test_shared_memory_is_the_requests_or_the_files_and_no_more_than_the_memory() -> None:
    inputs = Inputs("chat", defaults=ServiceDefaults(shm_size=parse_size("256m")))
    found = {
        case: (made.spec.shm_size, made.origins["shm_size"].source)
        for case, made in {
            "nothing": resolution(),
            "file": resolution(inputs),
            "request": resolution(inputs, shm_size="512m"),
            "all": resolution(inputs, shm_size="4g", slots={"mem": "4g"}),
        }.items()
    }
    assert found == {
        "nothing": (None, "baseline"),
        "file": (2**28, "service-definition"),
        "request": (2**29, "request"),
        "all": (4 * GIB, "request"),
    }
    assert refused(shm_size="1.1g") == refused(inputs, slots={"mem": "255m"}) == ["shm_size"]
    for wrong in (0, "1023k", -1, "much", True, "1e3", 2**61):
        with pytest.raises(ValidationError):
            RevisionSpec(shm_size=wrong)


def test_request_over_size_over_files_slot_by_slot_each_with_its_origin() -> None:
    defaults = ServiceDefaults.model_validate({"resource_slots": {"cpu": 2, "npu": 1, "cuda.shares": "0.5"}})
    size = {"cpu": Decimal(8), "mem": Decimal(4 * GIB), "cuda.device": Decimal(2)}
    inputs = Inputs("chat", defaults=defaults, size=size)
    found = resolution(inputs, size="large", slots={"cpu": 3})
    assert found.spec.slots == {"cpu": 3, "mem": 4 * GIB, "npu": 1, "cuda.device": 2}, "whole GPUs put fractions aside"
    said = {path.removeprefix("slots."): o for path, o in found.origins.items() if path.startswith("slots.")}
    assert {name: (origin.source, origin.size) for name, origin in said.items()} == {
        "cpu": ("request", None),
        "mem": ("size", "large"),
        "npu": ("service-definition", None),
        "cuda.device": ("size", "large"),
    }
    assert said["mem"].path == "slots.mem"
    shares = resolved(inputs, size="large", slots={"cuda.shares": "0.25"})
    assert shares.slots == {"cpu": 8, "mem": 4 * GIB, "npu": 1, "cuda.shares": Decimal("0.25")}
    none = resolved(replace(inputs, size={"cuda.shares": Decimal(0)}), size="plain")
    assert none.slots == {"cpu": 2, "mem": GIB, "npu": 1}, "a size may take away what a file asks for"


@pytest.mark.parametrize("runtime", get_args(RuntimeVariant))
def test_every_value_that_replicas_get_has_an_origin(runtime: str) -> None:
    definition = DEFINITION if runtime == "custom" else None
    inputs = Inputs("chat", folder=MODEL, definition=definition, extra=[DATA])
    found = resolution(inputs, runtime=runtime, folder="weights", extra_mounts=[{"folder": "corpus"}])
    for name in set(ResolvedSpec.model_fields) - {"folder_id", "source", "masked", "secret_bytes", "resource_group"}:
        value = getattr(found.spec, name)
        if name in {"slots", "environ"}:
            paths = {f"{name}.{key}" for key in value}
        elif name in {"mounts", "secrets"}:
            paths = {f"{name}[{index}]" for index in range(len(value))}
        elif name == "health_check" and value is not None:
            paths = {f"health_check.{part}" for part in type(value).model_fields}
        else:
            paths = {name}
        assert paths <= set(found.origins), name


@pytest.mark.parametrize("runtime", get_args(RuntimeVariant))
def test_fields_that_do_not_fit_the_variant(runtime: str) -> None:
    definition = DEFINITION if runtime == "custom" else None
    inputs = Inputs("chat", folder=MODEL, definition=definition)
    fields = {"command": "x", "port": 1, "definition_path": "a", "model": "mine", "model_destination": "/m"}
    allowed = {"cmd": {"command", "port", "model_destination"}, "custom": set(fields)}.get(runtime, {"port"})
    for field, value in fields.items():
        if field in allowed:
            resolved(inputs, runtime=runtime, folder="weights", **{field: value})
        else:
            assert refused(inputs, runtime=runtime, folder="weights", **{field: value}) == [field]


def test_folders_are_of_the_right_kind() -> None:
    assert refused(runtime="vllm") == ["folder"]
    assert refused(runtime="custom") == ["folder"]
    assert refused(Inputs("chat", folder=DATA), folder="corpus") == ["folder"]
    assert refused(Inputs("chat", extra=[MODEL]), extra_mounts=[{"folder": "weights"}]) == ["extra_mounts[0].folder"]
    assert resolved(runtime="nim").mounts == ()


def test_an_image_that_no_registry_can_name_is_refused() -> None:
    assert refused(image="registry.corp/UPPER") == ["image"]


def test_extra_mounts_lie_apart() -> None:
    inputs = Inputs("chat", folder=MODEL, extra=[DATA])
    spec = resolved(inputs, folder="weights", extra_mounts=[{"folder": "corpus", "read_only": False}])
    assert [(mount.target, mount.read_only) for mount in spec.mounts] == [
        ("/models", True),
        ("/home/work/corpus", False),
    ]
    for target in (
        "/models",
        "/models/x",
        "/",
        "/home/work",
        "/etc/x",
        "/proc",
        "//models",
        "/a/../models",
        "/a:b",
        "/usr/lib/x",
        "/models/.",
    ):
        assert refused(inputs, folder="weights", extra_mounts=[{"folder": "corpus", "target": target}]) == [
            "extra_mounts[0].target"
        ], target
    assert (
        resolved(inputs, folder="weights", extra_mounts=[{"folder": "corpus", "target": "/models2"}]).mounts[1].target
        == "/models2"
    )
    twice = Inputs("chat", extra=[DATA, DATA])
    assert refused(twice, extra_mounts=[{"folder": "corpus"}, {"folder": "corpus"}]) == ["extra_mounts[1].target"]


def test_reserved_names_are_refused() -> None:
    assert refused(environ={"HEADRACE_PORT": "1", "FINE": "1", "BACKENDAI_X": "1"}) == [
        "environ.HEADRACE_PORT",
        "environ.BACKENDAI_X",
    ]
    assert resolved(environ={"HEADRACE_ENGINE_ANSWER_TOKENS": "1", "PORT": "1"}).environ


@given(
    st.fixed_dictionaries(
        {"runtime": st.sampled_from(get_args(RuntimeVariant))},
        optional={
            "folder": st.just("weights"),
            "port": st.integers(1, 65535),
            "command": st.sampled_from(["x", ("a", "b")]),
            "model_destination": st.sampled_from(["/m", "/", "/models"]),
            "slots": st.dictionaries(
                st.sampled_from(["cpu", "mem", "cuda.device"]), st.integers(1, 9).map(lambda n: n * 2**24)
            ),
            "environ": st.dictionaries(st.sampled_from(["A", "HEADRACE_PORT"]), st.text(max_size=3)),
        },
    )
)
def test_any_spec_is_resolved_the_same_twice_or_refused_with_fields(spec: dict[str, Any]) -> None:
    inputs = Inputs(
        "chat",
        folder=MODEL if "folder" in spec else None,
        definition=DEFINITION if spec["runtime"] == "custom" else None,
    )
    first = None
    with suppress(InvalidRequest):
        first = resolved(inputs, **spec)
    if first is None:
        return
    assert first == resolved(inputs, **spec)
    assert all(amount > 0 for amount in first.slots.values())
    assert ResolvedSpec.model_validate(first.model_dump(mode="json")) == first, "as JSON it is the same"
    assert "HEADRACE_PORT" not in first.environ


def test_one_spec_cannot_fill_a_machines_plan() -> None:
    assert resolved(environ={"A": "x" * 32_000}).environ
    assert refused(environ={f"A{i}": "x" * 32_000 for i in range(3)}) == ["environ"]
    assert refused(command=["x" * 40_000, "x" * 40_000]) == ["command"]
    assert refused(command=['"' * 40_000]) == ["command"]  # it is longer on its way than in memory


def test_a_destination_is_not_deeper_than_programs_can_go() -> None:
    assert resolved(folder="weights", model_destination="/m" * 32).mounts
    assert refused(folder="weights", model_destination="/m" * 33) == ["model_destination"]
    assert refused(folder="weights", model_destination="/" + "m" * 1024) == ["model_destination"]


SOURCE = ModelSource(uri="hf://a/b", version="v", import_id=ImportId(new_uuid()), size_bytes=1, files=1)


def test_a_model_uri_is_mounted_as_a_folder_and_waits_for_its_import() -> None:
    facts = replace(MODEL, source=SOURCE)
    waiting = resolved(Inputs("chat", folder=facts), runtime="vllm", model_uri="hf://a/b")
    assert (waiting.folder_id, waiting.source, waiting.importing) == (MODEL.id, SOURCE, SOURCE.import_id)
    done = resolved(Inputs("chat", folder=replace(facts, snapshot_id="a" * 64)), runtime="vllm", model_uri="hf://a/b")
    assert (done.importing, done.snapshot_id) == (None, "a" * 64)
    assert resolved(runtime="vllm", folder="weights").importing is None


def test_a_model_on_the_machines_is_no_folder_and_no_file_of_it_is_known() -> None:
    inputs = Inputs("chat", folder=FolderFacts(NO_FOLDER, "", "model", host_path="/mnt/m"))
    uri = "file:///mnt/m"
    found = resolved(inputs, runtime="vllm", model_uri=uri)
    assert (found.folder_id, found.importing, found.snapshot_id) == (None, None, None)
    assert [(mount.host_path, mount.target, mount.read_only) for mount in found.mounts] == [("/mnt/m", "/models", True)]
    for runtime in ("custom", "llama-cpp"):
        assert refused(inputs, runtime=runtime, model_uri=uri) == ["model_uri"]


def test_a_folder_and_a_model_uri_are_one_too_many() -> None:
    assert refused(runtime="vllm", folder="weights", model_uri="hf://a/b") == ["model_uri"]
