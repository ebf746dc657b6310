"""What the model store says of a folder's definition files, and whether a replica of it would be placed now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import FolderId, ProjectId, new_uuid
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.contracts.slots import parse_slots
from headrace.manager.domain.model_store import (
    MAX_PROBLEM,
    MAX_WORDS,
    DefinitionFiles,
    StoreContent,
    StoreOffer,
    needed,
    read,
)
from headrace.manager.domain.placement.machines import PLAN, PLAN_KIB, Machine
from headrace.manager.domain.placement.scheduler import place_all, place_each_alone
from headrace.manager.domain.records.folders import Folder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FOLDER = Folder(FolderId(new_uuid()), ProjectId(new_uuid()), "owl", "model", NOW)
MODEL = """
models:
  - name: small
    model_path: /models
    metadata: {title: Little Owl, task: Text-Generation, license: MIT, label: [Night], min_resource: {mem: 2g}}
    service: {start_command: [serve], port: 8000}
"""
SECOND = """
  - name: large
    model_path: /models
    metadata: {task: summarization, description: Great}
    service: {start_command: [serve], port: 9000}
"""
CUSTOM = """
[custom.environment]
image = "example.com/serve:1"
architecture = "x86_64"
[custom.resource_slots]
cpu = 2
mem = "1g"
"""


def content(model: str = MODEL, service: str = CUSTOM, names: tuple[str, ...] = ()) -> StoreContent:
    return read(FOLDER, DefinitionFiles("model-definition.yaml", model.encode(), service.encode(), names))


def offered(service: str, names: tuple[str, ...] = ()) -> StoreOffer:
    found = content(service=service, names=names).entry
    assert found.offer is not None, found.problem
    return found.offer


def test_both_files_make_an_offer_with_the_larger_of_what_it_takes_and_what_it_needs() -> None:
    found = content(MODEL + SECOND)
    assert found.entry.names == ("small", "large")
    assert found.entry.metadata is not None
    assert (found.entry.metadata.title, found.entry.metadata.license, found.entry.problem) == (
        "Little Owl",
        "MIT",
        None,
    )
    assert found.tasks == ("summarization", "text-generation")
    for word in ("small", "large", "little owl", "night", "great"):
        assert word in found.words
    assert [one.name for one in found.detail.models] == ["small", "large"]
    (section,) = found.detail.sections
    assert (section.runtime, section.image, section.slots) == (
        "custom",
        "example.com/serve:1",
        parse_slots({"cpu": 2, "mem": "1g"}),
    )
    offer = found.entry.offer
    assert offer is not None
    assert (offer.runtime, offer.image, offer.architecture) == ("custom", "example.com/serve:1", "x86_64")
    assert offer.needs == parse_slots({"cpu": 2, "mem": "2g"})


@pytest.mark.parametrize(
    ("service", "runtime"),
    [
        ("", "custom"),
        ("[vllm.environ]\nA = 1\n[custom.environ]\nA = 1\n", "custom"),
        ("[vllm.environ]\nA = 1\n[sglang.environ]\nA = 1\n", "vllm"),
    ],
)
def test_custom_is_run_where_it_has_a_section_or_nothing_has_else_the_first(service: str, runtime: str) -> None:
    assert offered(service).runtime == runtime


def test_llama_cpp_is_judged_by_the_names_of_the_folders_files() -> None:
    service = "[llama-cpp.environ]\nA = 1\n"
    assert offered(service, ("a.gguf",)).runtime == "llama-cpp"
    without = content(service=service).entry
    assert without.offer is None
    assert ".gguf" in (without.problem or "")


def test_wrong_files_are_told_with_the_first_error_of_each() -> None:
    entry = content("models: []", "[nothing]\n").entry
    assert (entry.offer, entry.names, entry.metadata) == (None, (), None)
    assert "model-definition.yaml" in (entry.problem or "")
    assert "service-definition.toml" in (entry.problem or "")
    long = content("x: " + "y" * 100_000 + "\n" + "z" * 20_000 + ": 1\n", "x" * 100_000 + " = 1").entry
    assert 0 < len(long.problem or "") <= MAX_PROBLEM


def test_what_a_search_looks_at_is_bounded() -> None:
    texts = "".join(
        f"  - {{name: m{number}, model_path: /m, metadata: {{description: {'x' * 9000}}}, service: {{start_command: a, port: 1}}}}\n"
        for number in range(12)
    )
    assert len(content("models:\n" + texts).words) == MAX_WORDS


def test_the_digest_differs_for_each_part() -> None:
    one = DefinitionFiles("a", b"ab", b"c")
    others = [replace(one, file="b"), replace(one, model=b"a", service=b"bc"), replace(one, names=("x",))]
    assert len({files.digest for files in (one, *others)}) == 4


def test_secrets_and_a_missing_image_are_part_of_the_request() -> None:
    offer = offered('[custom.secret_environ]\nTOKEN = "hub"\n')
    request = offer.request(FOLDER, "default", NOW)
    assert (request.has_secrets, request.without_image, request.resource_group) == (True, True, "default")
    assert request.slots[PLAN] > 0


def test_gpus_are_of_one_kind() -> None:
    device, shares = {"cuda.device": Decimal(1)}, {"cuda.shares": Decimal("0.5")}
    assert needed(shares, device) == shares
    assert needed(device, {**shares, "cuda.device": Decimal(2)}) == {"cuda.device": Decimal(2)}
    assert needed({"cpu": Decimal(1)}, shares) == {"cpu": Decimal(1), **shares}
    assert needed({"cpu": Decimal(1)}, {"storage": Decimal(1), "cpu": Decimal("0.5")}) == {"cpu": Decimal(1)}


def machine(name: str, cores: int, gpus: int) -> Machine:
    total = {**parse_slots({"cpu": cores, "mem": "32g"}), PLAN: Decimal(PLAN_KIB)}
    return Machine(name, "default", "x86_64", "process", total, total, {f"g{n}": Decimal(1) for n in range(gpus)})


@given(
    fleet=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), max_size=4),
    asked=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=5),
)
def test_each_fits_where_placement_would_place_it_alone_with_its_words(
    fleet: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    machines = [machine(f"m{at}", *facts) for at, facts in enumerate(fleet)]
    offers = [
        StoreOffer(
            runtime="custom",
            image=None,
            architecture=None,
            needs=parse_slots({"cpu": cores, "mem": "1g", **({"cuda.device": gpus} if gpus else {})}),
        )
        for cores, gpus in asked
    ]
    requests = [offer.request(replace(FOLDER, id=FolderId(new_uuid())), "default", NOW) for offer in offers]
    found = place_each_alone(machines, requests)
    for request, one in zip(requests, found, strict=True):
        placed, waiting = place_all(machines, [request], NOW)
        assert (one is None) == bool(placed)
        assert one is None or [one] == waiting


def test_what_does_not_fit_is_told_in_numbers() -> None:
    request = offered(CUSTOM.replace("cpu = 2", "cpu = 9")).request(FOLDER, "default", NOW)
    (found,) = place_each_alone([machine("m", 4, 0)], [request])
    assert found is not None
    assert found.code == PlacementReason.EXCEEDS_EVERY_MACHINE
    assert "m would need 9 cpu, 4 of 4 free" in found.text
