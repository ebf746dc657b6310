"""Model store: what a model folder with both definition files offers, and what one replica of it needs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.model import ModelMetadata
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.slots import GPU_DEVICE, GPU_SHARES, OF_PROJECTS, ResourceSlots
from headrace.common.contracts.vocabulary import RuntimeVariant
from headrace.manager.domain.definitions.model_definition import ChosenModel, Model, parse_definition
from headrace.manager.domain.definitions.service_definition import ServiceDefaults, parse_service_definition
from headrace.manager.domain.placement.machines import Request, with_plan
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.variants import resolve
from headrace.manager.domain.variants.inputs import FolderFacts, Inputs

MAX_WORDS: Final = 65_536
"""Characters of a folder's metadata that a search looks at."""
MAX_PROBLEM: Final = 2000
_GPU_KINDS: Final = (GPU_DEVICE, GPU_SHARES)


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StoreOffer(_Stored):
    """What `store run` starts where the request says nothing else."""

    runtime: RuntimeVariant
    image: str | None
    architecture: Literal["x86_64", "aarch64"] | None
    needs: ResourceSlots
    """Least slots of a replica: what it takes by the files, or what the metadata says it needs where that is more."""
    has_secrets: bool = False
    spec_bytes: int = 0
    """Size of its spec in a plan."""

    def request(self, folder: Folder, resource_group: str, now: datetime) -> Request:
        """Return a replica of it as the scheduler sees a pending session."""
        return Request(
            SessionId(folder.id),
            resource_group,
            self.architecture,
            not self.image,
            with_plan(self.needs, self.spec_bytes),
            now,
            has_secrets=self.has_secrets,
        )


class StoreEntry(_Stored):
    """What a list shows of a folder's definition files."""

    names: tuple[str, ...]
    metadata: ModelMetadata | None
    """Of the first model."""
    offer: StoreOffer | None
    problem: str | None
    """Why it cannot be run as it is."""


class StoredModel(_Stored):
    """One entry of model-definition.yaml."""

    name: str
    metadata: ModelMetadata | None


class StoredSection(_Stored):
    """One section of service-definition.toml."""

    runtime: RuntimeVariant
    image: str | None
    architecture: Literal["x86_64", "aarch64"] | None
    slots: ResourceSlots


class StoreDetail(_Stored):
    """All that the store knows of a folder's definition files."""

    models: tuple[StoredModel, ...] = ()
    sections: tuple[StoredSection, ...] = ()


@dataclass(frozen=True)
class DefinitionFiles:
    """Both definition files of a folder, and the names at its top where its runtime is resolved by them."""

    file: str
    model: bytes
    service: bytes
    names: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        lengths = (len(self.model), len(self.service))
        head = "\x00".join((self.file, *map(str, lengths), *self.names)).encode(errors="surrogateescape")
        return sha256(head + self.model + self.service).hexdigest()


@dataclass(frozen=True)
class StoreContent:
    """What was read of a folder's definition files."""

    digest: str
    tasks: tuple[str, ...]
    words: str
    entry: StoreEntry
    detail: StoreDetail


def read(folder: Folder, files: DefinitionFiles) -> StoreContent:
    """Return what the files say. Files that are wrong are in the store too, with the first error of each as the problem."""
    problems = list[str]()
    models: Sequence[Model] = ()
    sections: Mapping[str, ServiceDefaults] = {}
    offer = None
    try:
        models = parse_definition(files.model, files.file)
    except Problem as problem:
        problems.append(problem.detail)
    try:
        sections = parse_service_definition(files.service)
    except Problem as problem:
        problems.append(problem.detail)
    if not problems:
        try:
            offer = _offer(folder, files, models, sections)
        except Problem as problem:
            problems.append(problem.detail)
    metadata = [model.metadata for model in models if model.metadata is not None]
    return StoreContent(
        digest=files.digest,
        tasks=tuple(sorted({one.task.lower() for one in metadata if one.task})),
        words=" ".join(_words(models)).lower()[:MAX_WORDS],
        entry=StoreEntry(
            names=tuple(model.name for model in models),
            metadata=models[0].metadata if models else None,
            offer=offer,
            problem="; ".join(problems)[:MAX_PROBLEM] or None,
        ),
        detail=StoreDetail(
            models=tuple(StoredModel(name=model.name, metadata=model.metadata) for model in models),
            sections=tuple(_section(runtime, defaults) for runtime, defaults in sections.items()),
        ),
    )


def default_runtime(sections: Mapping[str, ServiceDefaults]) -> str:
    """Return the runtime that is run: custom where service-definition.toml has a section of it or none at all, else that of the first."""
    return "custom" if not sections or "custom" in sections else next(iter(sections))


def needed(slots: Mapping[str, Decimal], least: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the larger of both, slot by slot. GPUs are of one kind: whole or fractions, as the slots say, else as the metadata does."""
    gpus = next((name for some in (slots, least) for name in _GPU_KINDS if some.get(name)), None)
    names = ({*slots, *least} - OF_PROJECTS - {*_GPU_KINDS}) | ({gpus} if gpus else set())
    zero = Decimal(0)
    return {name: max(slots.get(name, zero), least.get(name, zero)) for name in sorted(names)}


def _offer(
    folder: Folder, files: DefinitionFiles, models: Sequence[Model], sections: Mapping[str, ServiceDefaults]
) -> StoreOffer:
    """Return what is run. Raises InvalidRequest for what no replica could be started with."""
    spec = RevisionSpec.model_validate({"folder": str(folder.id), "runtime": default_runtime(sections)})
    defaults = sections.get(spec.runtime)
    inputs = Inputs(
        name=folder.name,
        folder=FolderFacts(folder.id, folder.name, folder.usage_mode, files.names),
        definition=ChosenModel(models[0], files.file) if spec.runtime == "custom" else None,
        defaults=defaults,
    )
    resolved = resolve.resolve(spec, inputs).spec
    metadata = models[0].metadata
    return StoreOffer(
        runtime=spec.runtime,
        image=resolved.image,
        architecture=resolved.architecture,
        needs=needed(resolved.slots, metadata.min_resource if metadata else {}),
        has_secrets=bool(defaults and defaults.secret_environ),
        spec_bytes=len(resolved.model_dump_json()),
    )


def _section(runtime: str, defaults: ServiceDefaults) -> StoredSection:
    environment = defaults.environment
    return StoredSection.model_validate(
        {
            "runtime": runtime,
            "image": environment.image if environment else None,
            "architecture": environment.architecture if environment else None,
            "slots": defaults.resource_slots,
        }
    )


def _words(models: Sequence[Model]) -> Iterator[str]:
    for model in models:
        yield model.name
        if model.metadata is not None:
            for value in model.metadata.model_dump(exclude={"min_resource"}, exclude_defaults=True).values():
                yield from (value,) if isinstance(value, str) else value
