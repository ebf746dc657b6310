"""Masked variables: plain values of a spec that are kept and used, and shown to nobody. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from headrace.common.contracts.revision import MASK, RevisionSpec


def masked_environ(environ: Mapping[str, str], masked: Collection[str]) -> dict[str, str]:
    """Return the variables as they are shown."""
    return {name: MASK if name in masked else value for name, value in environ.items()}


def masked_spec(spec: RevisionSpec) -> RevisionSpec:
    """Return the spec as it is shown."""
    return spec.model_copy(update={"environ": masked_environ(spec.environ, spec.masked)}) if spec.masked else spec


def masked_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec as JSON, or a request with one, as it is recorded."""
    masked = document.get("masked") or ()
    return {**document, "environ": masked_environ(document.get("environ") or {}, masked)} if masked else dict(document)


def needs_former(spec: RevisionSpec) -> bool:
    """Return whether a value of the spec stands for one that the revision before has."""
    return MASK in spec.environ.values()


def with_former(spec: RevisionSpec, before: RevisionSpec) -> RevisionSpec:
    """Return the spec with the values that the revision before has of variables that are masked there.

    So a spec that was read can be sent again, as commands do. Others that stand for a value stay, and are refused later.
    """
    kept = {name: before.environ[name] for name in before.masked if name in before.environ}
    environ = {name: kept.get(name, value) if value == MASK else value for name, value in spec.environ.items()}
    return spec.model_copy(update={"environ": environ})
