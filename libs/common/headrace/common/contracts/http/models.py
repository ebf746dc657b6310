"""Model store: model folders with both definition files, and whether a replica of one would be placed now."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import NonNegativeInt

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import FolderId, ProjectId
from headrace.common.contracts.model import ModelMetadata
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.slots import ResourceSlots
from headrace.common.contracts.stored import as_stored
from headrace.common.contracts.vocabulary import RuntimeVariant

_Metadata = Annotated[ModelMetadata, as_stored(ModelMetadata)] | None


class Fit(View):
    """Whether one replica would be placed now, by the arithmetic of placement. Nothing is reserved."""

    fits: bool
    reason: Annotated[Reason, said_of("placement")] | None = None
    """Why not, machine by machine, with what is needed, free and there in all."""


class ModelView(View):
    """A folder of the model store."""

    name: str
    """The folder's."""
    folder_id: FolderId
    project: str
    project_id: ProjectId
    size_bytes: NonNegativeInt
    files: NonNegativeInt
    """Files and directories."""
    models: tuple[str, ...]
    """Names of the models in model-definition.yaml; where there are several, running it names one."""
    metadata: _Metadata
    """What the definition says of the first model."""
    runtime: RuntimeVariant | None
    """Runtime that is run where the request names none: custom where service-definition.toml has a section of it or no
    section at all, else that of its first section. Null when the files are wrong, as are the next three."""
    image: str | None
    architecture: Literal["x86_64", "aarch64"] | None
    needs: ResourceSlots | None
    """Least slots of a replica: what it takes by the files, or what the metadata's `min_resource` says where that is
    more."""
    fit: Fit | None
    """Null when the files are wrong."""
    problem: str | None
    """Why it cannot be run as it is: the first error of each file."""
    shared_to_caller: bool = False
    """Whether the caller sees it because it is shared: it runs in a project of hers."""


class StoreModelView(View):
    """One model of a folder's model definition."""

    name: str
    metadata: _Metadata


class StoreSectionView(View):
    """One section of a folder's service-definition.toml."""

    runtime: RuntimeVariant
    image: str | None
    architecture: Literal["x86_64", "aarch64"] | None
    slots: ResourceSlots


class ModelDetail(ModelView):
    """A folder of the model store, with all that its files offer."""

    entries: tuple[StoreModelView, ...]
    sections: tuple[StoreSectionView, ...]
