"""Layers of a spec: runtime baseline, service-definition.toml, model definition, size, request. The later one wins.

Each layer gives values by their path in the effective spec, each with its origin, so that value and origin cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from headrace.common.contracts.model import HealthCheck
from headrace.common.contracts.origin import Origin
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.contracts.slots import CPU, GPU_DEVICE, GPU_SHARES, MEM
from headrace.manager.domain.definitions.service_definition import FILE
from headrace.manager.domain.variants.engines import ENGINES, choose_weights, start_words
from headrace.manager.domain.variants.inputs import MODELS, Inputs

DEFAULT_PORT: Final = 8000
DEFAULT_SLOTS: Final = {CPU: Decimal(1), MEM: Decimal(2**30)}
BASELINE: Final = Origin(source="baseline")
Layer: TypeAlias = dict[str, tuple[Any, Origin]]
_HEALTH: Final = "health_check"


def merged(spec: RevisionSpec, inputs: Inputs) -> Layer:
    """Return each value of the effective spec with its origin."""
    files = {**_baseline(spec, inputs), **_service_definition(spec, inputs), **_model_definition(inputs)}
    below = _over(files, _size(spec, inputs))
    for name in spec.secret_environ:  # a secret takes the place of a value
        below.pop(f"environ.{name}", None)
    return _over(below, _request(spec, inputs))


def gathered(layer: Layer, name: str) -> dict[str, Any]:
    """Return the values of one mapping of the spec, by key: `environ` or `slots`."""
    prefix = f"{name}."
    return {path.removeprefix(prefix): value for path, (value, _) in layer.items() if path.startswith(prefix)}


def origins(layer: Layer) -> dict[str, Origin]:
    """Return where each value comes from; of a health check where each part of it does."""
    found = {path: origin for path, (_, origin) in layer.items()}
    check, whole = layer[_HEALTH]
    if check is not None:
        del found[_HEALTH]
        for part in HealthCheck.model_fields:
            said = part in check.model_fields_set and whole.source != "baseline"
            path = f"{whole.path}.{part}"
            found[f"{_HEALTH}.{part}"] = whole.model_copy(update={"path": path}) if said else BASELINE
    return found


def origin_of(pin: PinnedSecret, spec: RevisionSpec) -> Origin:
    """Return where a secret of the spec is asked for."""
    if pin.use == "variable" and pin.variable not in spec.secret_environ:
        return _in_defaults(spec, f"secret_environ.{pin.variable}")
    return _asked({"registry": "pull_secret", "model": "model_secret"}.get(pin.use, f"secret_environ.{pin.variable}"))


def _over(below: Layer, above: Layer) -> Layer:
    """Return both layers as one. Whole GPUs of the upper one replace fractions of the lower one, and the other way round."""
    replaced = {
        f"slots.{other}"
        for mine, other in ((GPU_DEVICE, GPU_SHARES), (GPU_SHARES, GPU_DEVICE))
        if above.get(f"slots.{mine}", (0, BASELINE))[0]
    }
    return {**{path: value for path, value in below.items() if path not in replaced}, **above}


def _baseline(spec: RevisionSpec, inputs: Inputs) -> Layer:
    engine = ENGINES.get(spec.runtime)
    values: dict[str, Any] = {
        "runtime": spec.runtime,
        "image": None,
        "architecture": None,
        "command": (),
        "port": DEFAULT_PORT,
        "model_path": MODELS,
        _HEALTH: None,
        "pre_start_actions": (),
        "shm_size": None,
        **{f"slots.{name}": amount for name, amount in DEFAULT_SLOTS.items()},
    }
    if engine is not None:
        port = spec.port or engine.port
        weights = choose_weights(inputs.folder.files) if inputs.folder else None
        command = start_words(spec.runtime, model_path=MODELS, port=port, name=inputs.name, weights=weights or "")
        values |= {"command": command, "port": engine.port, _HEALTH: engine.health_check()}
        if engine.port_variable:
            values[f"environ.{engine.port_variable}"] = str(port)
    return {path: (value, BASELINE) for path, value in values.items()}


def _service_definition(spec: RevisionSpec, inputs: Inputs) -> Layer:
    defaults = inputs.defaults
    if defaults is None:
        return {}
    layer: Layer = {}
    if defaults.environment is not None:
        for field in ("image", "architecture"):
            layer[field] = (getattr(defaults.environment, field), _in_defaults(spec, f"environment.{field}"))
    if defaults.shm_size is not None:
        layer["shm_size"] = (defaults.shm_size, _in_defaults(spec, "shm_size"))
    for name, amount in defaults.resource_slots.items():
        layer[f"slots.{name}"] = (amount, _in_defaults(spec, f"resource_slots.{name}"))
    for name, value in defaults.environ.items():
        layer[f"environ.{name}"] = (value, _in_defaults(spec, f"environ.{name}"))
    return layer


def _in_defaults(spec: RevisionSpec, path: str) -> Origin:
    return Origin(source="service-definition", file=FILE, path=f"{spec.runtime}.{path}")


def _model_definition(inputs: Inputs) -> Layer:
    chosen = inputs.definition
    if chosen is None:
        return {}
    service = chosen.model.service
    values = {
        "model_name": (chosen.model.name, "name"),
        "model_path": (chosen.model.model_path, "model_path"),
        "command": (service.start_command, "service.start_command"),
        "port": (service.port, "service.port"),
    }
    if service.health_check is not None:
        values[_HEALTH] = (service.health_check, "service.health_check")
    if service.pre_start_actions:
        values["pre_start_actions"] = (service.pre_start_actions, "service.pre_start_actions")
    return {
        path: (value, Origin(source="model-definition", file=chosen.file, path=chosen.path(field)))
        for path, (value, field) in values.items()
    }


def _size(spec: RevisionSpec, inputs: Inputs) -> Layer:
    return {
        path: (amount, Origin(source="size", path=path, size=spec.size))
        for path, amount in ((f"slots.{name}", amount) for name, amount in (inputs.size or {}).items())
    }


def _request(spec: RevisionSpec, inputs: Inputs) -> Layer:
    command = ("/bin/sh", "-c", spec.command) if isinstance(spec.command, str) else spec.command
    values: dict[str, Any] = {
        "image": spec.image,
        "architecture": spec.architecture,
        "command": command,
        "port": spec.port,
        "shm_size": spec.shm_size,
    }
    layer = {path: (value, _asked(path)) for path, value in values.items() if value is not None}
    if spec.runtime != RevisionSpec.model_fields["runtime"].default:
        layer["runtime"] = (spec.runtime, _asked("runtime"))
    if inputs.definition is None:
        layer["model_name"] = (inputs.name, _asked("name"))
        if spec.model_destination is not None:
            layer["model_path"] = (spec.model_destination, _asked("model_destination"))
    for name, given in (("slots", spec.slots or {}), ("environ", spec.environ)):
        keys: Mapping[str, Any] = given
        layer |= {f"{name}.{key}": (value, _asked(f"{name}.{key}")) for key, value in keys.items()}
    return layer


def _asked(path: str) -> Origin:
    return Origin(source="request", path=path)
