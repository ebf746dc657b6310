"""Spec resolution: request over size over model definition over service-definition.toml over the runtime's baseline. Pure.

All fields that do not fit are reported together, since each attempt of a caller is a round trip.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from headrace.common.contracts import wording
from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.messages.plans import Mount
from headrace.common.contracts.origin import Origin
from headrace.common.contracts.problems import row
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.slots import MEM, MIN
from headrace.manager.domain.variants import layers, spec_checks
from headrace.manager.domain.variants.inputs import HOME, MODELS, Inputs, normal_path
from headrace.manager.domain.variants.resolved_spec import Resolution, ResolvedSpec

_MAX_SPEC_BYTES = 64 * 1024
"""Size limit of a resolved spec: a machine's whole plan is one message, which one service must not fill."""


def resolve(spec: RevisionSpec, inputs: Inputs) -> Resolution:
    """Return the resolved spec, with where each value comes from. Raises InvalidRequest with every field that does not fit."""
    if errors := spec_checks.unfit(spec, inputs):
        raise wording.refusal(errors)
    layer = layers.merged(spec, inputs)
    folder, definition = inputs.folder, inputs.definition
    slots = _slots(layers.gathered(layer, "slots"))
    _check_shm(layer["shm_size"][0], slots[MEM])
    mounts = _mounts(spec, inputs)
    names = ("runtime", "model_name", "image", "architecture", "command", "port", "model_path")
    resolved = ResolvedSpec(
        **{name: layer[name][0] for name in (*names, "health_check", "pre_start_actions", "shm_size")},
        folder_id=folder.id if folder and folder.host_path is None else None,
        environ=layers.gathered(layer, "environ"),
        masked=tuple(sorted(set(spec.masked))),
        slots=slots,
        mounts=tuple(mount for mount, _ in mounts),
        source=folder.source if folder else None,
        secrets=inputs.pins.secrets,
        secret_bytes=inputs.pins.bytes,
    )
    check_size(resolved)
    origins = {
        path: origin
        for path, origin in layers.origins(layer).items()
        if not path.startswith("slots.") or path.removeprefix("slots.") in slots
    }
    origins |= {f"mounts[{index}]": origin for index, (_, origin) in enumerate(mounts)}
    origins |= {f"secrets[{index}]": layers.origin_of(pin, spec) for index, pin in enumerate(resolved.secrets)}
    return Resolution(resolved, origins, definition.model.metadata if definition else None)


def _check_shm(shm_size: int | None, memory: Decimal) -> None:
    """Raise InvalidRequest for more shared memory than memory: what is used of it counts as memory."""
    if shm_size is not None and shm_size > memory:
        allowed = f"at most the memory of a replica, {_as_size(int(memory))}, as which it counts"
        raise wording.refusal([row("shm_size", _as_size(shm_size), allowed)])


def _as_size(size: int) -> str:
    """Return bytes as one may write them: 64m, or the number."""
    return f"{size // 2**20}m" if size % 2**20 == 0 else f"{size} bytes"


def renamed(spec: RevisionSpec, resolved: ResolvedSpec, names: Mapping[FolderId, str]) -> RevisionSpec:
    """Return the spec with the names that its folders have now, mounted where they were. Folders named by id stay as they are."""
    mounts = list(resolved.mounts)
    model = mounts.pop(0) if mounts and len(mounts) > len(spec.extra_mounts) else None
    changes: dict[str, Any] = {}
    if model is not None and (name := _new_name(spec.folder, model, names)) is not None:
        changes["folder"] = name
    extra = tuple(
        asked
        if (name := _new_name(asked.folder, mount, names)) is None
        else asked.model_copy(update={"folder": name, "target": asked.target or mount.target})
        for asked, mount in zip(spec.extra_mounts, mounts, strict=False)
    )
    if extra != spec.extra_mounts and len(extra) == len(spec.extra_mounts):
        changes["extra_mounts"] = extra
    return spec.model_copy(update=changes) if changes else spec


def _new_name(asked: str | None, mount: Mount, names: Mapping[FolderId, str]) -> str | None:
    """Return how a folder is named now that was asked for by another name, with its project where that was named."""
    project, slash, was = (asked or "").rpartition("/")
    name = names.get(mount.folder_id, was)
    return None if asked is None or asked == str(mount.folder_id) or was == name else f"{project}{slash}{name}"


def check_size(resolved: ResolvedSpec) -> None:
    """Raise InvalidRequest for a spec that is too large, with the values of its secrets."""
    parts = resolved.model_dump(mode="json", include={"command", "environ", "pre_start_actions", "mounts"})
    size = len(resolved.model_dump_json().encode()) + resolved.secret_bytes
    if size > _MAX_SPEC_BYTES:
        sizes = {name: len(json.dumps(part)) for name, part in parts.items()}
        sizes["secret_environ"] = resolved.secret_bytes
        largest = max(sizes, key=sizes.__getitem__)
        found = f"{size} bytes in command, environment, secrets, pre-start actions and mounts together"
        allowed = f"at most {_MAX_SPEC_BYTES} bytes; put large texts into files of the model folder"
        raise wording.refusal([row(largest, found, allowed)])


def _slots(given: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {name: max(amount, MIN.get(name, amount)) for name, amount in given.items() if amount > 0 or name in MIN}


def _mounts(spec: RevisionSpec, inputs: Inputs) -> list[tuple[Mount, Origin]]:
    mounts = []
    if inputs.folder:
        mount = Mount(
            folder_id=inputs.folder.id,
            target=normal_path(spec.model_destination or MODELS),
            read_only=True,
            snapshot_id=inputs.folder.snapshot_id,
            host_path=inputs.folder.host_path,
        )
        mounts.append((mount, Origin(source="request", path="folder" if spec.folder is not None else "model_uri")))
    for index, (wanted, folder) in enumerate(zip(spec.extra_mounts, inputs.extra, strict=True)):
        target = normal_path(wanted.target or f"{HOME}/{folder.name}")
        mount = Mount(folder_id=folder.id, target=target, read_only=wanted.read_only)
        mounts.append((mount, Origin(source="request", path=f"extra_mounts[{index}]")))
    return mounts
