"""One request from its head to its end: find the service, check the caller, hand over to the exchange, account."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import structlog
from aiohttp import web

from headrace.appproxy.domain.admission import Refusal
from headrace.appproxy.domain.headers import REQUEST_ID, is_host, to_replica
from headrace.appproxy.domain.routing import Address, locate, origin_form
from headrace.appproxy.forward.answers import as_answer, refused
from headrace.appproxy.forward.body import RequestBody
from headrace.appproxy.forward.exchange import Exchange
from headrace.appproxy.forward.parts import Parts
from headrace.appproxy.forward.relay import Relayed, break_off, interruption
from headrace.appproxy.record import Record
from headrace.appproxy.table import Entry
from headrace.common.contracts.problems import InvalidRequest, MethodNotAllowed, NotFound


class Forwarder:
    """Serves requests by the tables. `stop()` refuses new ones; `cut_all()` ends the open ones with an explicit error."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._open: set[asyncio.Timeout] = set()

    @property
    def stopping(self) -> bool:
        """Whether new requests are refused."""
        return self._parts.stopping.is_set()

    def stop(self) -> None:
        """Refuse new requests, and let each open one be the last on its connection."""
        self._parts.stopping.set()

    @property
    def open_requests(self) -> int:
        """How many requests have not ended."""
        return len(self._open)

    def cut_all(self) -> None:
        """End every open request now: 503 where no answer began, else the answer is broken off."""
        now = asyncio.get_running_loop().time()
        for scope in self._open:
            scope.reschedule(now)

    async def handle(self, request: web.BaseRequest, *, port: int | None = None) -> web.StreamResponse:
        """Answer one request that came in on the shared port, or on a service's own `port`."""
        given = request.headers.get("X-Request-Id", "")
        record = Record(
            request_id=given if REQUEST_ID.match(given) else uuid4().hex,
            method=request.method,
            path=request.raw_path.partition("?")[0][:512],
            caller=request.remote or "",
            started_s=time.monotonic(),
        )
        structlog.contextvars.bind_contextvars(request_id=record.request_id)
        try:
            return await self._bounded(request, record, port)
        except (asyncio.CancelledError, ConnectionError):
            record.left = True
            raise
        except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
            return as_answer(error, record, close=self.stopping)
        finally:
            self._parts.seen.ended(record, time.monotonic())

    async def _bounded(self, request: web.BaseRequest, record: Record, port: int | None) -> web.StreamResponse:
        scope = asyncio.timeout(None)  # only cut_all() lets it expire
        self._open.add(scope)
        try:
            async with scope:
                return await self._serve(request, record, port)
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._open.discard(scope)
        if isinstance(record.head, Relayed):
            await break_off(request, record.head, record, "shutting-down")
            return record.head
        raise interruption("shutting-down")

    async def _serve(self, request: web.BaseRequest, record: Record, port: int | None) -> web.StreamResponse:
        settings = self._parts.settings
        if self.stopping:
            raise interruption("shutting-down")
        if len(self._open) > settings.max_open_requests:
            raise refused(Refusal(503, "proxy-full", "this app-proxy has too many open requests", 1))
        entry, address, host = self._find(request, port)
        record.table = entry.table
        authorization = request.headers.getall("Authorization", [])
        self._parts.gate.check(entry, authorization, self._parts.clock())
        body = RequestBody(
            request,
            limit=entry.table.limits.max_body_bytes or settings.max_body_bytes,
            keep=settings.replay_bytes,
            idle_s=settings.caller_idle_timeout_s,
        )
        upgrade = _wants_websocket(request)
        headers = to_replica(
            request.headers.items(),
            request_id=record.request_id,
            client_ip=record.caller,
            scheme=request.scheme,
            host=host,
            prefix=address.prefix,
            authorization=self._parts.gate.for_replica(authorization, open_to_public=entry.table.open_to_public),
            upgrade=upgrade,
            trusted=settings.trust_forwarded,
        )
        return await Exchange(
            self._parts, request, record, entry, address.target, headers, body, upgrade, address.prefix
        ).run()

    def _find(self, request: web.BaseRequest, port: int | None) -> tuple[Entry, Address, str]:
        """Return the service, its address in this request, and the host that the caller named."""
        if request.method == "CONNECT":
            raise MethodNotAllowed("CONNECT is not served")
        target, host = origin_form(request.raw_path, request.headers.get("Host", ""))
        if not target.startswith("/") or not target.isascii() or any(c <= " " or c == "\x7f" for c in target):
            raise InvalidRequest("the request target is not a path")
        if not is_host(host):
            raise InvalidRequest("the Host header is not a host")
        if port is not None:
            entry = self._parts.tables.by_port(port)
            address = Address(entry.table.name, target, "") if entry else None
        else:
            address = locate(target, host, self._parts.settings.domain)
            entry = self._parts.tables.by_name(address.name) if address else None
        if entry is None or address is None:
            raise NotFound("no service has this address", reason="unknown-service")
        return entry, address, host


def _wants_websocket(request: web.BaseRequest) -> bool:
    """RFC 6455 section 4.1. Other upgrades are not offered, so the request is served as if it had not asked."""
    options = {option.strip().lower() for option in request.headers.get("Connection", "").split(",")}
    return (
        request.method == "GET"
        and request.version >= (1, 1)
        and request.headers.get("Upgrade", "").strip().lower() == "websocket"
        and "upgrade" in options
    )
