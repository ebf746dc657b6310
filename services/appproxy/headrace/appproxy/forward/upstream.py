"""Sending one request to one replica, up to the head of its answer."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from headrace.appproxy.domain.headers import Pairs
from headrace.appproxy.domain.retry import Failure, FailureKind
from headrace.appproxy.forward.body import RequestBody
from headrace.common.contracts.messages.routes import Route
from headrace.common.contracts.problems import InvalidRequest

_NOT_OURS_TO_ADD = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class NoAnswerError(Exception):
    """No answer came. `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


@dataclass(slots=True)
class _Attempt:
    connected_s: float | None = None
    reused: bool = False


class Upstreams:
    """Connections to replicas: kept ones, and fresh ones for what a kept one lost."""

    def __init__(self, kept: aiohttp.ClientSession, fresh: aiohttp.ClientSession) -> None:
        self._kept = kept
        self._fresh = fresh

    async def send(
        self,
        route: Route,
        *,
        method: str,
        target: str,
        headers: Pairs,
        body: RequestBody,
        first_byte_s: float,
        fresh: bool,
    ) -> aiohttp.ClientResponse:
        """Return the answer's head; the caller must close it.

        Waits `first_byte_s` from the last byte that the caller sent. Raises NoAnswerError, or the Problem that is the caller's doing.
        """
        attempt = _Attempt()
        try:
            async with asyncio.timeout(first_byte_s) as scope:
                body.keeps_alive(scope, first_byte_s)
                return await (self._fresh if fresh else self._kept).request(
                    method,
                    _url(route, target),
                    headers=CIMultiDict(headers),
                    data=body.chunks() if body.exists else None,
                    allow_redirects=False,
                    skip_auto_headers=_NOT_OURS_TO_ADD,
                    trace_request_ctx=attempt,
                )
        except UnicodeEncodeError:
            raise InvalidRequest("a header has bytes that are not UTF-8") from None
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            if body.problem is not None:
                raise body.problem from None
            raise NoAnswerError(_failure(error, attempt, route, first_byte_s)) from None
        finally:
            body.keeps_alive(None)


def _url(route: Route, target: str) -> URL:
    path, _, query = target.partition("?")
    return URL.build(scheme="http", host=route.host, port=route.port, path=path, query_string=query, encoded=True)


def _failure(error: Exception, attempt: _Attempt, route: Route, first_byte_s: float) -> Failure:
    where = f"replica {route.session_id}"  # callers read this: where it runs is not theirs to know
    kind: FailureKind
    if attempt.connected_s is None:
        if isinstance(error, TimeoutError):
            return Failure("connect-timeout", f"no connection to {where} in time")
        return Failure("connect-failed", f"no connection to {where}: {_words(error)}")
    if isinstance(error, aiohttp.ClientResponseError):
        kind, text = "bad-response", f"{where} answered something that is not HTTP"
    elif isinstance(error, TimeoutError):
        kind, text = "first-byte-timeout", f"no answer from {where} within {first_byte_s:g} s"
    else:
        kind, text = "connection-lost", f"{where} closed the connection before it answered"
    return Failure(kind, text, reused=attempt.reused, seconds=time.monotonic() - attempt.connected_s)


def _words(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    code = getattr(cause, "errno", None)
    return os.strerror(code) if code else type(cause).__name__  # their own words name the address


def _tracing() -> aiohttp.TraceConfig:
    """Tell each attempt when it has a connection, and whether that one had served before."""
    config = aiohttp.TraceConfig()

    async def created(_session: Any, context: Any, _params: Any) -> None:
        context.trace_request_ctx.connected_s = time.monotonic()

    async def reused(_session: Any, context: Any, _params: Any) -> None:
        context.trace_request_ctx.connected_s = time.monotonic()
        context.trace_request_ctx.reused = True

    config.on_connection_create_end.append(created)
    config.on_connection_reuseconn.append(reused)
    return config


@asynccontextmanager
async def open_upstreams(
    *, connect_timeout_s: float, keepalive_s: float, max_line_bytes: int, max_header_bytes: int, max_headers: int
) -> AsyncIterator[Upstreams]:
    """Upstreams whose connections are closed on leaving."""

    def session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        made = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[_tracing()],
            max_line_size=max_line_bytes,
            max_field_size=max_header_bytes,
            max_headers=max_headers,
        )
        # The library would send a lost request again by itself; here domain/retry.py decides, and counts.
        made._retry_connection = False  # noqa: SLF001 - there is no public switch
        return made

    async with (
        session(aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive_s)) as kept,
        session(aiohttp.TCPConnector(limit=0, force_close=True)) as fresh,
    ):
        yield Upstreams(kept, fresh)
