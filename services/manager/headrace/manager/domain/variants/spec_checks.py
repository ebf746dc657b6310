"""Checks of a spec against what was looked up for it: every field that does not fit, with what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.common.contracts.images import ALLOWED as IMAGE_NAMES
from headrace.common.contracts.model_uri import scheme_of
from headrace.common.contracts.problems import row
from headrace.common.contracts.revision import MASK, RevisionSpec
from headrace.manager.domain.value_checks import ANOTHER_NAME, SET_TWICE, is_headraces, is_image
from headrace.manager.domain.variants.engines import ENGINES, choose_weights
from headrace.manager.domain.variants.inputs import HOME, MODELS, Inputs, normal_path

_TOO_WIDE = frozenset({"/", "/home", HOME, "/tmp", "/var", "/root"})  # noqa: S108 - paths in the kernel, not here
_MAX_PATH_DEPTH = 32
_MAX_PATH_BYTES = 1024
_READS_FILES = frozenset({"custom", "llama-cpp"})
"""Runtimes that are resolved by files of the model."""
_FORBIDDEN_TARGETS = ("/proc", "/sys", "/dev", "/etc", "/bin", "/sbin", "/lib", "/usr")


def unfit(spec: RevisionSpec, inputs: Inputs) -> list[dict[str, Any]]:
    """Return an error row for each field that does not fit."""
    return [
        *_of_the_variant(spec, inputs),
        *_of_the_image(spec.image),
        *_of_the_environ(spec.environ),
        *_of_the_masks(spec, inputs),
        *_of_the_environ(spec.secret_environ, "secret_environ"),
        *_of_the_secrets(spec),
        *_of_the_mounts(spec, inputs),
    ]


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
    if spec.command is not None and runtime not in {"custom", "cmd"}:
        errors.append(_error("command", "a command", f"none with the runtime {runtime}; custom and cmd take one"))
    errors += [
        _error(field, given, "none: only the runtime custom reads a definition")
        for field, given in (("definition_path", spec.definition_path), ("model", spec.model))
        if given is not None and runtime != "custom"
    ]
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


def _of_the_image(image: str | None) -> list[dict[str, Any]]:
    return [] if image is None or is_image(image) else [_error("image", image, IMAGE_NAMES)]


def _of_the_environ(environ: Mapping[str, str], field: str = "environ") -> list[dict[str, Any]]:
    return [_error(f"{field}.{name}", name, ANOTHER_NAME) for name in environ if is_headraces(name)]


def _of_the_masks(spec: RevisionSpec, inputs: Inputs) -> list[dict[str, Any]]:
    below = inputs.defaults.environ if inputs.defaults else {}
    return [
        *(
            _error(f"environ.{name}", MASK, "its value: the revision before masks none of that name")
            for name, value in spec.environ.items()
            if value == MASK
        ),
        *(
            _error(f"masked[{at}]", name, "a variable of environ")
            for at, name in enumerate(spec.masked)
            if name not in spec.environ and name not in below
        ),
    ]


def _of_the_secrets(spec: RevisionSpec) -> list[dict[str, Any]]:
    errors = []
    if spec.model_secret is not None and (spec.model_uri is None or scheme_of(spec.model_uri) == "file"):
        errors.append(_error("model_secret", spec.model_secret, "none without a model_uri that managers fetch"))
    twice = [name for name in spec.secret_environ if name in spec.environ]
    return errors + [_error(f"secret_environ.{name}", *SET_TWICE) for name in twice]


def _of_the_mounts(spec: RevisionSpec, inputs: Inputs) -> list[dict[str, Any]]:
    errors = []
    taken: list[tuple[str, str]] = []
    if inputs.folder:
        taken.append(("model_destination", normal_path(spec.model_destination or MODELS)))
    for index, (wanted, folder) in enumerate(zip(spec.extra_mounts, inputs.extra, strict=True)):
        field = f"extra_mounts[{index}]"
        if folder.usage_mode == "model":
            errors.append(_error(f"{field}.folder", f"{wanted.folder}, a model folder", "a data or general folder"))
        taken.append((f"{field}.target", normal_path(wanted.target or f"{HOME}/{folder.name}")))
    for index, (field, target) in enumerate(taken):
        if why := _unusable(target):
            errors.append(_error(field, target, why))
        for other_field, other in taken[:index]:
            if _overlap(target, other):
                errors.append(_error(field, target, f"a path apart from {other} ({other_field})"))
    return errors


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
