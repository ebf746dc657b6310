"""Model sources by URI."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from headrace.common.contracts.model_uri import scheme_of
from headrace.manager.domain.model_source import Listing, SourceError, SourceFile
from headrace.manager.domain.source_policy import SourcePolicy
from headrace.manager.sources.bucket import BucketServer, list_bucket
from headrace.manager.sources.credentials import Credential, Credentials
from headrace.manager.sources.file import list_file
from headrace.manager.sources.hub import list_repository
from headrace.manager.sources.web import Web, open_web


class Source:
    """Open source of one URI."""

    def __init__(self, web: Web, uri: str, credential: Credential | None, hub: str, buckets: BucketServer) -> None:
        self._web = web
        self._uri = uri
        self._credential = credential
        self._token = credential.token.get_secret_value() if credential is not None else ""
        self._hub = hub
        self._buckets = buckets

    async def listing(self, at: str | None = None) -> Listing:
        """Return the files as they are now, or those of the version `at`. Raises SourceError, also when it has changed since."""
        if scheme_of(self._uri) == "hf":
            return await list_repository(self._web, self._hub, self._uri, self._token, commit=at)
        if scheme_of(self._uri) == "s3":
            found = await list_bucket(self._buckets, self._uri, self._credential)
        else:
            found = await list_file(self._web, self._uri, self._token)
        if at is not None and found.version != at:
            text = f"{self._uri.partition('?')[0]} has changed: it was {at}, and is {found.version} now"
            raise SourceError(f"{text}; `headrace service update NAME --refresh` takes what it is now", lasting=True)
        return found

    async def small(self, file: SourceFile, *, limit: int) -> bytes:
        """Return at most `limit` + 1 bytes of a file. Raises SourceError."""
        return await self._web.small(file, limit=limit, token=self._token)

    @asynccontextmanager
    async def opened(self, file: SourceFile, offset: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the response with the file's bytes from `offset`. Raises SourceError; then nothing of it is valid."""
        headers = {"If-Match": file.etag} if file.etag else {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        async with self._web.get(file.url, headers=headers, token=self._token) as response:
            begin = f"bytes {offset}-{file.size_bytes - 1}/{file.size_bytes}"
            if offset and response.headers.get("Content-Range") != begin:
                raise SourceError(f"{file.path}: the source cannot continue it at byte {offset}", lasting=False)
            if file.etag and response.headers.get("ETag", file.etag) != file.etag:
                raise SourceError(f"{file.path} has changed at the source", lasting=True)
            yield response


class Sources:
    """Opener of sources, by the installation's policy and credentials."""

    def __init__(
        self,
        policy: SourcePolicy,
        credentials: Credentials,
        trusted: Callable[[], ssl.SSLContext],
        *,
        hub: str,
        buckets: BucketServer,
    ) -> None:
        self.policy = policy
        self._credentials = credentials
        self._trusted = trusted
        self._hub = hub
        self._buckets = buckets

    @asynccontextmanager
    async def opened(self, uri: str, project: str, own: Credential | None = None) -> AsyncIterator[Source]:
        """Yield the source of a URI, with the project's own credential, or the operator's for it. Raises SourceError."""
        if allowed := self.policy.why_not_scheme(scheme_of(uri)):
            raise SourceError(f"{scheme_of(uri)}:// is no longer allowed; allowed: {allowed}", lasting=True)
        credential = own or await asyncio.to_thread(self._credentials.find, uri, project)
        async with open_web(self.policy, self._trusted) as web:
            yield Source(web, uri, credential, self._hub, self._buckets)
