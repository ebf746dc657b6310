"""Wiring of model URIs: the sources that read Hugging Face, buckets and files, the loop that imports from them, their secrets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from headrace.common.db.pool import Pool
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.loops.importing import Importer
from headrace.manager.loops.imports import ImportsLoop
from headrace.manager.loops.pokes import LoopPokes
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.settings import Settings, object_limits, secret_bytes, secrets_keys, source_policy
from headrace.manager.sources.bucket import BucketServer
from headrace.manager.sources.credentials import Credentials
from headrace.manager.sources.source import Sources
from headrace.manager.sources.web import web_context
from headrace.manager.usecases.storage_account import StorageAccount


def make_sources(settings: Settings) -> Sources:
    """Return the sources that the settings allow."""
    return Sources(
        source_policy(settings),
        Credentials(settings.model_credentials_file),
        partial(web_context, settings.ca_file),
        hub=settings.hub_endpoint,
        buckets=BucketServer(settings.s3_endpoint, settings.s3_region),
    )


def make_imports(
    settings: Settings, pool: Pool, storage: FolderStorage, pokes: LoopPokes, monotonic: Callable[[], float]
) -> ImportsLoop:
    """Return the loop that imports from them."""
    account = StorageAccount(pool, object_limits(settings))
    importer = Importer(pool, storage, make_sources(settings), account, secret_keys(settings), monotonic)
    return ImportsLoop(
        pool,
        storage,
        importer,
        pokes.poke,
        pokes.event("imports"),
        every=settings.reconcile_every,
        monotonic=monotonic,
    )


def secret_keys(settings: Settings) -> SecretKeys:
    """Return the keys that encrypt secrets."""
    return SecretKeys(secret_bytes(settings), secrets_keys(settings))
