"""Spec resolution: the request over service-definition.toml over the runtime's defaults. Pure.

All fields that do not fit are reported together, since each attempt of a caller is a round trip.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from headrace.common.contracts import wording
from headrace.common.contracts.environ import is_reserved
from headrace.common.contracts.ids import FolderId, SnapshotId
from headrace.common.contracts.images import ALLOWED as IMAGE_NAMES
from headrace.common.contracts.images import parse_image
from headrace.common.contracts.messages.plans import Mount
from headrace.common.contracts.model_uri import ModelSource, scheme_of
from headrace.common.contracts.problems import row
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.slots import CPU, GPU_DEVICE, GPU_SHARES, MEM, MIN
from headrace.common.contracts.vocabulary import UsageMode
from headrace.manager.domain.definitions.model_definition import Model
from headrace.manager.domain.definitions.service_definition import ServiceDefaults
from headrace.manager.domain.secret_pins import NO_SECRETS, SecretPins
from headrace.manager.domain.variants.engines import ENGINES, choose_weights, start_words
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec

MODELS = "/models"
HOME = "/home/work"
DEFAULT_PORT = 8000
DEFAULT_SLOTS = {CPU: Decimal(1), MEM: Decimal(2**30)}
RESERVED_NAMES = frozenset({"HEADRACE_PORT", "HEADRACE_MODEL_PATH"})
RESERVED_PREFIXES = ("HEADRACE_KERNEL_", "HEADRACE_SESSION_", "HEADRACE_SERVICE_", "HEADRACE_AGENT_", "BACKENDAI_")
_TOO_WIDE = frozenset({"/", "/home", HOME, "/tmp", "/var", "/root"})  # noqa: S108 - paths in the kernel, not here
_MAX_PATH_DEPTH = 32
_MAX_PATH_BYTES = 1024
_MAX_SPEC_BYTES = 64 * 1024
"""Size limit of a resolved spec: a machine's whole plan is one message, which one service must not fill."""
_READS_FILES = frozenset({"custom", "llama-cpp"})
"""Runtimes that are resolved by files of the model."""
_FORBIDDEN_TARGETS = ("/proc", "/sys", "/dev", "/etc", "/bin", "/sbin", "/lib", "/usr")


@dataclass(frozen=True)
class FolderFacts:
    """A folder, for resolution. `files`: names at its top, needed for llama-cpp only. `snapshot_id`: the content that a
    model folder was pinned to.
    """

    id: FolderId
    name: str
    usage_mode: UsageMode
    files: tuple[str, ...] = ()
    snapshot_id: SnapshotId | None = None
    source: ModelSource | None = None
    """The model URI that its files come from."""
    host_path: str | None = None
    """Path on the machines, instead of a folder."""


@dataclass(frozen=True)
class Inputs:
    """Everything that was looked up for a spec. `extra` is in the order of the spec's extra mounts."""

    name: str
    folder: FolderFacts | None = None
    definition: Model | None = None
    defaults: ServiceDefaults | None = None
    extra: Sequence[FolderFacts] = ()
    pins: SecretPins = NO_SECRETS


def resolve(spec: RevisionSpec, inputs: Inputs) -> ResolvedSpec:
    """Return the resolved spec. Raises InvalidRequest with every field that does not fit."""
    errors = [
        *_of_the_variant(spec, inputs),
        *_of_the_image("image", spec.image),
        *_of_the_image("service-definition.toml: environment.image", _default_image(inputs)),
        *_of_the_environ(spec.environ),
        *_of_the_environ(inputs.defaults.environ if inputs.defaults else {}, "service-definition.toml: environ"),
        *_of_the_environ(spec.secret_environ, "secret_environ"),
        *_of_the_environ(
            inputs.defaults.secret_environ if inputs.defaults else {}, "service-definition.toml: secret_environ"
        ),
        *_of_the_secrets(spec, inputs),
        *_of_the_mounts(spec, inputs),
    ]
    if errors:
        raise wording.refusal(errors)
    defaults = inputs.defaults or ServiceDefaults()
    environment = defaults.environment
    port, command = _program(spec, inputs)
    definition = inputs.definition
    resolved = ResolvedSpec(
        runtime=spec.runtime,
        folder_id=inputs.folder.id if inputs.folder and inputs.folder.host_path is None else None,
        model_name=definition.name if definition else inputs.name,
        image=spec.image or (environment.image if environment else None),
        architecture=spec.architecture or (environment.architecture if environment else None),
        command=command,
        port=port,
        model_path=definition.model_path if definition else spec.model_destination or MODELS,
        health_check=definition.service.health_check if definition else _engine_health(spec),
        pre_start_actions=definition.service.pre_start_actions if definition else (),
        environ=_environ(spec, defaults, port),
        slots=_slots(spec.slots, defaults.resource_slots),
        mounts=_mounts(spec, inputs),
        source=inputs.folder.source if inputs.folder else None,
        secrets=inputs.pins.secrets,
        secret_bytes=inputs.pins.bytes,
    )
    check_size(resolved)
    return resolved


def check_size(resolved: ResolvedSpec) -> None:
    """Raise InvalidRequest for a spec that is too large, with the values of its secrets."""
    parts = resolved.model_dump(mode="json", include={"command", "environ", "pre_start_actions", "mounts"})
    size = len(resolved.model_dump_json().encode()) + resolved.secret_bytes
    if size > _MAX_SPEC_BYTES:
        sizes = {name: len(json.dumps(part)) for name, part in parts.items()} | {
            "secret_environ": resolved.secret_bytes
        }
        largest = max(sizes, key=sizes.__getitem__)
        found = f"{size} bytes in command, environment, secrets, pre-start actions and mounts together"
        error = _error(
            largest, found, f"at most {_MAX_SPEC_BYTES} bytes; put large texts into files of the model folder"
        )
        raise wording.refusal([error])


def _program(spec: RevisionSpec, inputs: Inputs) -> tuple[int, tuple[str, ...]]:
    if inputs.definition:
        return inputs.definition.service.port, inputs.definition.service.start_command
    if spec.runtime == "cmd":
        command = spec.command or ()
        return spec.port or DEFAULT_PORT, ("/bin/sh", "-c", command) if isinstance(command, str) else command
    port = spec.port or ENGINES[spec.runtime].port
    weights = choose_weights(inputs.folder.files) if inputs.folder else None
    words = start_words(spec.runtime, model_path=MODELS, port=port, name=inputs.name, weights=weights or "")
    return port, words


def _engine_health(spec: RevisionSpec) -> Any:
    return None if spec.runtime == "cmd" else ENGINES[spec.runtime].health_check()


def _environ(spec: RevisionSpec, defaults: ServiceDefaults, port: int) -> dict[str, str]:
    engine = ENGINES.get(spec.runtime)
    own = {engine.port_variable: str(port)} if engine and engine.port_variable else {}
    below = {name: value for name, value in {**own, **defaults.environ}.items() if name not in spec.secret_environ}
    return {**below, **spec.environ}


def _slots(asked: Mapping[str, Decimal] | None, defaults: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Merge per slot. Whole GPUs in the request replace fractions in the file, and the other way round."""
    asked = asked or {}
    merged = {**DEFAULT_SLOTS, **defaults, **asked}
    for mine, other in ((GPU_DEVICE, GPU_SHARES), (GPU_SHARES, GPU_DEVICE)):
        if asked.get(mine) and other not in asked:
            merged.pop(other, None)
    return {name: max(amount, MIN.get(name, amount)) for name, amount in merged.items() if amount > 0 or name in MIN}


def _mounts(spec: RevisionSpec, inputs: Inputs) -> tuple[Mount, ...]:
    mounts = []
    if inputs.folder:
        target = _normal(spec.model_destination or MODELS)
        snapshot_id = inputs.folder.snapshot_id
        path = inputs.folder.host_path
        mounts.append(
            Mount(folder_id=inputs.folder.id, target=target, read_only=True, snapshot_id=snapshot_id, host_path=path)
        )
    for wanted, folder in zip(spec.extra_mounts, inputs.extra, strict=True):
        target = _normal(wanted.target or f"{HOME}/{folder.name}")
        mounts.append(Mount(folder_id=folder.id, target=target, read_only=wanted.read_only))
    return tuple(mounts)


def _error(field: str, found: object, allowed: str) -> dict[str, Any]:
    return row(field, "nothing" if found is None else str(found)[:200], allowed)


def _of_the_variant(spec: RevisionSpec, inputs: Inputs) -> list[dict[str, Any]]:
    errors = []
    runtime = spec.runtime
    if spec.folder is not None and spec.model_uri is not None:
        errors.append(_error("model_uri", "a folder and a URI", "one of folder and model_uri"))
    if inputs.folder and inputs.folder.host_path is not None and runtime in _READS_FILES:
        errors.append(
            _error(
                "model_uri", spec.model_uri, f"another kind: {runtime} needs to read files, which managers do not see"
            )
        )
    if (
        spec.folder is None
        and spec.model_uri is None
        and (runtime == "custom" or (runtime in ENGINES and ENGINES[runtime].needs_folder))
    ):
        errors.append(_error("folder", None, f"a model folder, or a model_uri: the runtime {runtime} needs one"))
    if inputs.folder and inputs.folder.usage_mode != "model":
        errors.append(_error("folder", f"a {inputs.folder.usage_mode} folder", "a folder with usage mode model"))
    if spec.command is not None and runtime != "cmd":
        errors.append(_error("command", "a command", f"none with the runtime {runtime}; cmd takes one"))
    if spec.port is not None and runtime == "custom":
        errors.append(_error("port", spec.port, "none with the runtime custom: the model definition says it"))
    if spec.definition_path is not None and runtime != "custom":
        errors.append(
            _error("definition_path", spec.definition_path, "none: only the runtime custom reads a definition")
        )
    if spec.model_destination is not None and runtime not in {"custom", "cmd"}:
        errors.append(
            _error("model_destination", spec.model_destination, f"{MODELS}; only custom and cmd take another")
        )
    if (
        runtime == "llama-cpp"
        and inputs.folder
        and inputs.folder.host_path is None
        and choose_weights(inputs.folder.files) is None
    ):
        found = ", ".join(name for name in inputs.folder.files if name.lower().endswith(".gguf")) or "no .gguf file"
        errors.append(_error("folder", found, "exactly one .gguf file (or one split model) at the folder's top"))
    return errors


def _default_image(inputs: Inputs) -> str | None:
    return inputs.defaults.environment.image if inputs.defaults and inputs.defaults.environment else None


def _of_the_image(field: str, image: str | None) -> list[dict[str, Any]]:
    try:
        if image is not None:
            parse_image(image)
    except ValueError:
        return [_error(field, image, IMAGE_NAMES)]
    return []


def _of_the_environ(environ: Mapping[str, str], field: str = "environ") -> list[dict[str, Any]]:
    return [
        _error(f"{field}.{name}", name, "another name: this one is set by Headrace")
        for name in environ
        if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES) or is_reserved(name)
    ]


def _of_the_secrets(spec: RevisionSpec, inputs: Inputs) -> list[dict[str, Any]]:
    errors = []
    if spec.model_secret is not None and (spec.model_uri is None or scheme_of(spec.model_uri) == "file"):
        errors.append(_error("model_secret", spec.model_secret, "none without a model_uri that managers fetch"))
    defaults = inputs.defaults or ServiceDefaults()
    places = (
        ("", spec.environ, spec.secret_environ),
        ("service-definition.toml: ", defaults.environ, defaults.secret_environ),
    )
    return errors + [
        _error(f"{place}secret_environ.{name}", "a variable that environ has too", "one of the two")
        for place, environ, secrets in places
        for name in secrets
        if name in environ
    ]


def _of_the_mounts(spec: RevisionSpec, inputs: Inputs) -> list[dict[str, Any]]:
    errors = []
    taken: list[tuple[str, str]] = []
    if inputs.folder:
        taken.append(("model_destination", _normal(spec.model_destination or MODELS)))
    for index, (wanted, folder) in enumerate(zip(spec.extra_mounts, inputs.extra, strict=True)):
        field = f"extra_mounts[{index}]"
        if folder.usage_mode == "model":
            errors.append(_error(f"{field}.folder", f"{wanted.folder}, a model folder", "a data or general folder"))
        taken.append((f"{field}.target", _normal(wanted.target or f"{HOME}/{folder.name}")))
    for index, (field, target) in enumerate(taken):
        if why := _unusable(target):
            errors.append(_error(field, target, why))
        for other_field, other in taken[:index]:
            if _overlap(target, other):
                errors.append(_error(field, target, f"a path apart from {other} ({other_field})"))
    return errors


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def _unusable(target: str) -> str | None:
    if any(ord(character) < 32 or character in ":," for character in target):
        return "a path without control characters, colon and comma"
    if target.count("/") > _MAX_PATH_DEPTH or len(target.encode()) > _MAX_PATH_BYTES:
        return f"a path of at most {_MAX_PATH_DEPTH} levels and {_MAX_PATH_BYTES} bytes"
    if target in _TOO_WIDE:
        return f"a path of its own, for example {HOME}/data"
    if any(target == root or target.startswith(f"{root}/") for root in _FORBIDDEN_TARGETS):
        return f"a path outside of {', '.join(_FORBIDDEN_TARGETS)}"
    return None


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
