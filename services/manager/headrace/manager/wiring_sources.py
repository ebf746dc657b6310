"""Wiring of the sources of model URIs: what reads Hugging Face, buckets and files."""

from __future__ import annotations

from functools import partial

from headrace.manager.settings import Settings, source_policy
from headrace.manager.sources.bucket import BucketServer
from headrace.manager.sources.credentials import Credentials
from headrace.manager.sources.source import Sources
from headrace.manager.sources.web import web_context


def make_sources(settings: Settings) -> Sources:
    """Return the sources that the settings allow."""
    return Sources(
        source_policy(settings),
        Credentials(settings.model_credentials_file),
        partial(web_context, settings.ca_file),
        hub=settings.hub_endpoint,
        buckets=BucketServer(settings.s3_endpoint, settings.s3_region),
    )
