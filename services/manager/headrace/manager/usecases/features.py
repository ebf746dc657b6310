"""Checks of feature switches: what uses a feature anew is refused where it is off; what uses it already goes on."""

from __future__ import annotations

from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.problems import Forbidden
from headrace.manager.domain.features import refusal
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.services import Service
from headrace.manager.usecases.findings import Findings


def check_settings(
    project: Project, asked: CreateService | UpdateService, findings: Findings, *, before: Service | None = None
) -> None:
    """Find settings of a service that the project may not have. `before`: the service that is changed."""
    public, port = asked.open_to_public, asked.endpoint_port
    if public and not (before is not None and before.open_to_public):
        _find(findings, refusal(project, "public-services", "open_to_public", "true", "false"))
    if port and not (before is not None and before.endpoint_port == port):
        _find(findings, refusal(project, "own-ports", "endpoint_port", port, "none"))


def check_model_uri(project: Project, uri: str | None, findings: Findings, *, before: str | None = None) -> None:
    """Find a model URI that the project may not have. `before`: that of the revision that is replaced."""
    if uri is not None and uri != before:
        _find(findings, refusal(project, "model-uris", "model_uri", uri, "none, and a folder"))


def check_webhooks(project: Project) -> None:
    """Raise Forbidden where the project may have no webhooks."""
    if "webhooks" in project.features_off:
        raise Forbidden(f"operators have switched webhooks off for project {project.name}")


def _find(findings: Findings, problem: Exception | None) -> None:
    with findings.noted():
        if problem is not None:
            raise problem
