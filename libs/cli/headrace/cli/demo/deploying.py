"""Deployment of the demo's model: from a local folder to a healthy service.

Every step continues from what an earlier run left.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from headrace.cli.commands.service.waiting import failed_log
from headrace.cli.demo.demo_output import DemoOutput
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.progress import TransferProgress
from headrace.cli.text import size
from headrace.common.contracts.http.folders import CreateFolder, FolderView
from headrace.common.contracts.http.projects import CreateProject
from headrace.common.contracts.http.services import CreateService, ServiceDetail
from headrace.sdk import ApiError, Client, ResumeFile, WaitFailedError, WaitTimeoutError

PROJECT: Final = "demo"
SERVICE: Final = "embeddings"
REPLICAS: Final = 2
_MANIFEST: Final = "prepared.json"
"""Written by examples/embeddings/prepare.py; two folders with the same one have the same files."""
_HEALTHY_S: Final = 90.0
T = TypeVar("T")


def project(client: Client, teller: DemoOutput) -> None:
    """Create the project unless it exists."""
    made, _ = _get_or_create(
        lambda: client.projects.get(PROJECT),
        lambda: client.projects.create(CreateProject(name=PROJECT, description="made by `make demo`")),
    )
    teller.detail(f"project {PROJECT} {'is new' if made else 'is there from an earlier run'}")


def folder(client: Client, source: Path, memory: Path, teller: DemoOutput) -> FolderView:
    """Create the folder with the content of `source` unless it exists. `memory` stores ids of incomplete uploads."""
    _, there = _get_or_create(
        lambda: client.folders.get(SERVICE, project=PROJECT),
        lambda: client.folders.create(CreateFolder(name=SERVICE, project=PROJECT)),
    )
    if _manifest(client, there) == (source / _MANIFEST).read_bytes():
        teller.detail(f"folder {SERVICE} is there from an earlier run, and up to date")
        return there
    with TransferProgress(f"          uploading to {there.name}") as shown:
        sent = client.folders.upload_tree(
            there,
            source,
            only=lambda path: path != _MANIFEST,
            skip_same=False,
            resume=ResumeFile(memory),
            progress=shown,
        )
    if sent.left_out:
        raise CliError(f"{sent.left_out[0].path} cannot be uploaded: {sent.left_out[0].reason}")
    # The manifest is uploaded last, so that its presence means that all other files are there.
    client.folders.upload(there.id, source / _MANIFEST, _MANIFEST)
    moved = sent.moved_bytes + (source / _MANIFEST).stat().st_size
    teller.detail(f"{len(sent.files) + 1} files, {size(moved)} are in the folder {SERVICE}")
    return there


def service(client: Client, source: FolderView, teller: DemoOutput) -> ServiceDetail:
    """Create the service and wait until all its replicas are healthy. Raises CliError with the failed replica's log."""
    body = CreateService.model_validate(
        {
            "name": SERVICE,
            "project": PROJECT,
            "folder": str(source.id),
            "replicas": REPLICAS,
            "drain_grace_s": 5.0,
            "slots": {"cpu": "0.5", "mem": "512m"},  # both fit on a machine with one core
            "description": "Sentences to vectors: all-MiniLM-L6-v2, OpenAI-compatible.",
        }
    )
    made, found = _get_or_create(lambda: client.services.get(SERVICE), lambda: client.services.create(body))
    teller.detail(f"service {SERVICE} {'is new' if made else 'is there from an earlier run'}")
    if found.phase == "stopped":
        client.services.start(SERVICE)
    elif found.phase == "failed":
        client.services.retry(SERVICE)
    shown = teller.changing()
    try:
        healthy = client.services.wait(
            SERVICE, timeout_s=_HEALTHY_S, every_s=0.25, progress=lambda seen: shown.show(_lines(seen))
        )
    except (WaitFailedError, WaitTimeoutError) as error:
        raise CliError(str(error), ExitCode.WAITED, log=failed_log(client, SERVICE)) from None
    if healthy is None:
        raise AssertionError("only when waiting for its end")
    return healthy


def _lines(seen: ServiceDetail) -> list[str]:
    """Return the lines shown while waiting; replicas are numbered, because their ids say nothing to a newcomer."""
    return [
        f"{seen.healthy_replicas} of {seen.replicas} replicas healthy; the service is {seen.status}, {seen.phase}",
        *(f"replica {n}: {r.health}: {r.reason.text}" for n, r in enumerate(seen.replica_list, start=1)),
    ]


def _get_or_create(get: Callable[[], T], make: Callable[[], T]) -> tuple[bool, T]:
    """Return the existing or newly created object, and True if it was created."""
    try:
        return False, get()
    except ApiError as error:
        if error.status != 404:
            raise
        return True, make()


def _manifest(client: Client, there: FolderView) -> bytes:
    try:
        return client.folders.read(there.id, _MANIFEST)
    except ApiError as error:
        if error.status != 404:
            raise
        return b""
