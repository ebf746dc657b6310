"""Model store: model folders with both definition files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.common.contracts.http.models import ModelDetail, ModelView
from headrace.common.contracts.http.services import CreateService, ServiceDetail
from headrace.sdk.transport import Transport, segment


class Models:
    """Client of `/v1/models`: what can be run as its definition files say, and whether it would be placed now."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        q: str | None = None,
        task: str | None = None,
        project: str | None = None,
        resource_group: str | None = None,
    ) -> Iterator[ModelView]:
        """Yield the models that the caller may see. `q`: part of a name or of metadata; `task`: the whole task."""
        query = {"q": q, "task": task, "project": project, "resource_group": resource_group}
        return self._transport.items(ModelView, "/v1/models", query)

    def get(self, model: object, *, project: str | None = None, resource_group: str | None = None) -> ModelDetail:
        """Return one model, by the name or id of its folder."""
        query = {"project": project, "resource_group": resource_group}
        return self._transport.one(ModelDetail, "GET", f"/v1/models/{segment(model)}", query=query)

    def run(self, model: object, /, *, project: str | None = None, **fields: Any) -> ServiceDetail:
        """Create a service of the model with what its files say, named as its folder; `fields` of CreateService win.

        `project`: of the model; of one that is shared (`<project>/<name>`) the service's.
        """
        found = self.get(model, project=project)
        body = service_of(found, **({"project": project} if found.shared_to_caller and project else {}), **fields)
        return self._transport.create(ServiceDetail, "/v1/services", body)


def service_of(model: ModelView, /, **fields: Any) -> CreateService:
    """Return the request by which a service of the model is created: as its files say; `fields` of CreateService win.

    Of one that is shared it names no project: without one in `fields` it is the caller's only one.
    """
    asked = {"name": model.name, "folder": str(model.folder_id)}
    asked |= {} if model.shared_to_caller else {"project": str(model.project_id)}
    runtime = {} if model.runtime is None else {"runtime": model.runtime}
    return CreateService.model_validate({**asked, **runtime, **fields})
