"""Views of the model store."""

from __future__ import annotations

from headrace.common.contracts.http.models import Fit, ModelDetail, ModelView, StoreModelView, StoreSectionView
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.manager.domain.placement.machines import Unplaced
from headrace.manager.domain.records.model_store import StoreModel


def fit_view(unplaced: Unplaced | None) -> Fit:
    """Return whether a replica fits; `unplaced`: why not."""
    if unplaced is None:
        return Fit(fits=True)
    return Fit(fits=False, reason=Reason.of(unplaced.code, unplaced.text))


def not_allowed(resource_group: str) -> Fit:
    """Return that no replica is placed in a group that the project may not use."""
    text = f"its project may not use resource group {resource_group}"
    return Fit(fits=False, reason=Reason.of(PlacementReason.GROUP_NOT_ALLOWED, text))


def model_view(model: StoreModel, fit: Fit | None) -> ModelView:
    """Return a folder of the store; `fit`: of what it offers."""
    offer = model.entry.offer
    return ModelView(
        name=model.folder.name,
        folder_id=model.folder.id,
        project=model.project,
        project_id=model.folder.project_id,
        size_bytes=model.size_bytes,
        files=model.files,
        models=model.entry.names,
        metadata=model.entry.metadata,
        runtime=offer.runtime if offer else None,
        image=offer.image if offer else None,
        architecture=offer.architecture if offer else None,
        needs=offer.needs if offer else None,
        fit=fit,
        problem=model.entry.problem,
        shared_to_caller=model.shared_to_caller,
    )


def model_detail(model: StoreModel, fit: Fit | None) -> ModelDetail:
    """Return a folder of the store with all that its files offer."""
    return ModelDetail(
        **dict(model_view(model, fit)),
        entries=tuple(StoreModelView(name=one.name, metadata=one.metadata) for one in model.detail.models),
        sections=tuple(
            StoreSectionView(runtime=one.runtime, image=one.image, architecture=one.architecture, slots=one.slots)
            for one in model.detail.sections
        ),
    )
