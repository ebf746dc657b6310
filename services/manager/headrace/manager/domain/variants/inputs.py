"""Inputs of spec resolution: everything that was looked up for a spec."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from headrace.common.contracts.ids import FolderId, SnapshotId
from headrace.common.contracts.model_uri import ModelSource
from headrace.common.contracts.vocabulary import UsageMode
from headrace.manager.domain.definitions.model_definition import ChosenModel
from headrace.manager.domain.definitions.service_definition import ServiceDefaults
from headrace.manager.domain.secret_pins import NO_SECRETS, SecretPins

MODELS: Final = "/models"
HOME: Final = "/home/work"


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
    definition: ChosenModel | None = None
    defaults: ServiceDefaults | None = None
    extra: Sequence[FolderFacts] = ()
    size: Mapping[str, Decimal] | None = None
    """Slots of the resource preset that the spec names."""
    pins: SecretPins = NO_SECRETS


def normal_path(path: str) -> str:
    """Return the path without empty and dotted parts."""
    return "/" + posixpath.normpath(path).lstrip("/")
