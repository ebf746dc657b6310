"""An aiohttp application with request ids, problem responses, health, readiness and metrics, and its server."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from headrace.common.contracts.readiness import ReadinessCheck
from headrace.common.obs.metrics import CERTIFICATE_ENDS, HTTP_SECONDS
from headrace.common.runtime.tls import ServerCertificate, TlsFileError
from headrace.common.web.connections import Connections, within_descriptors
from headrace.common.web.problems import REQUEST_ID, as_problem, problem_response
from headrace.common.web.proxied import BACKLOG, Network, ProxiedConnections, Tls
from headrace.common.web.request_handler import MAX_FIELD_BYTES, MAX_LINE_BYTES, RequestHandler

log = structlog.get_logger()
Check = Callable[[], str | None]
"""Readiness check: None when ready, else the reason."""

HANDSHAKE_S = 10.0
"""Longest TLS handshake."""
REFRESH_S = 10.0
"""How often it is looked whether the certificate was replaced."""
CONNECTIONS = web.AppKey("connections", Connections)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness checks and warnings of a service."""

    checks: Mapping[ReadinessCheck, Check]
    warned: Mapping[ReadinessCheck, Check]

    def failing(self) -> dict[str, str]:
        """Return the failing checks and why."""
        return {name: why for name, check in self.checks.items() if (why := check()) is not None}

    def warnings(self) -> dict[str, str]:
        """Return what is wrong although the service works."""
        return {name: why for name, check in self.warned.items() if (why := check()) is not None}


READINESS = web.AppKey("readiness", Readiness)
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@web.middleware
async def _outermost(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    given = request.headers.get(REQUEST_ID, "")
    request_id = given if _REQUEST_ID.match(given) else uuid4().hex
    started = time.monotonic()
    connections = request.config_dict[CONNECTIONS]
    connections.begun(request)
    if (caller := connections.caller(request)) is not None:
        request = request.clone(remote=caller)
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        try:
            response = await handler(request)
        except web.HTTPRedirection as redirect:
            response = redirect
        except Exception as error:  # noqa: BLE001 - the one middleware that maps errors
            response = problem_response(as_problem(error, request.path), request_id=request_id)
        finally:
            connections.done(request)
        _finish(request, response, request_id, time.monotonic() - started)
    return response


def _finish(request: web.Request, response: web.StreamResponse, request_id: str, seconds: float) -> None:
    if not response.prepared:
        response.headers[REQUEST_ID] = request_id
        for name, value in _SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
    resource = request.match_info.route.resource
    HTTP_SECONDS.labels(request.method, resource.canonical if resource else "(none)", str(response.status)).observe(
        seconds
    )


def make_app(
    *,
    checks: Mapping[ReadinessCheck, Check] | None = None,
    warnings: Mapping[ReadinessCheck, Check] | None = None,
    max_body_bytes: int = 1024 * 1024,
) -> web.Application:
    """Return an application with `/livez`, `/readyz` (503 with the reasons of failing checks) and `/metrics`.

    `warnings` are reported by `/readyz` too, but keep it at 200: the service works in spite of them.
    """
    app = web.Application(middlewares=[_outermost], client_max_size=max_body_bytes)
    app[CONNECTIONS] = Connections()
    readiness = app[READINESS] = Readiness(dict(checks or {}), dict(warnings or {}))

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        failing = readiness.failing()
        shown: dict[str, object] = {"status": "failing" if failing else "ok", "failing": failing}
        if noted := readiness.warnings():
            shown["warnings"] = noted
        return web.json_response(shown, status=503 if failing else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)
    return app


class WebServer:
    """Task that serves an application on one address until it is stopped; then open requests get `drain_s` to finish.

    An idle keep-alive connection is closed after `idle_s`; a request's head must be complete within `head_s`. Above
    `max_connections` the connection that is idle longest is closed; if none is idle, the new one is answered 503. With
    `certificate` it is served by TLS only. `balancers` are networks of load balancers, which say by the PROXY protocol whose
    connection each is: that address is the request's `remote`.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        host: str,
        port: int,
        name: str = "web",
        drain_s: float = 5.0,
        idle_s: float = 75.0,
        head_s: float = 10.0,
        max_connections: int = 500,
        certificate: ServerCertificate | None = None,
        balancers: Sequence[Network] = (),
    ) -> None:
        self.name = name
        self._balancers = balancers
        self._certificate = certificate
        logging.getLogger("aiohttp.server").addFilter(_log_without_content)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=drain_s)
        self._idle_s = idle_s
        self._connections = app[CONNECTIONS]
        self._readiness = app[READINESS]
        self._connections.head_s = head_s
        self._max_connections = max_connections
        self._host = host
        self._port = port
        self._stop = asyncio.Event()
        self.started = asyncio.Event()
        self.port = 0
        """Actual port, once `started` is set."""

    def failing(self) -> dict[str, str]:
        """Return the failing readiness checks of the application and why, and that it does not listen yet."""
        return {**({} if self.started.is_set() else {self.name: "not listening yet"}), **self._readiness.failing()}

    def warnings(self) -> dict[str, str]:
        """Return the readiness warnings of the application."""
        return self._readiness.warnings()

    def _new_protocol(self, caller: str | None = None) -> asyncio.Protocol:
        assert self._runner.server is not None  # noqa: S101 - it is there after setup
        handler = RequestHandler(
            self._runner.server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # as AppRunner has it: none
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            keepalive_timeout=self._idle_s,
            auto_decompress=False,  # a compressed body of a few KiB must not expand to GiB
        )
        return self._connections.guarded(handler, caller)

    def stop(self) -> None:
        """Stop accepting, and end run()."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until stop(). Raises OSError if the address is in use."""
        await self._runner.setup()
        try:
            waiting = 2 if self._balancers else 1  # as many may wait for their header and their handshake
            self._connections.most = within_descriptors(waiting * self._max_connections) // waiting
            async with self._listening() as self.port:
                log.info("server_started", server=self.name, host=self._host, port=self.port)
                self.started.set()
                await self._stopped()
        finally:
            await self._runner.cleanup()

    def _listening(self) -> AbstractAsyncContextManager[int]:
        """Listen until the context is left, which yields the port."""
        tls = Tls(self._certificate.context, HANDSHAKE_S) if self._certificate else None
        if not self._balancers:
            return _served(self._new_protocol, self._host, self._port, tls)
        proxied = ProxiedConnections(self._new_protocol, self._balancers, most=self._connections.most, tls=tls)
        return proxied.listening(self._host, self._port)

    async def _stopped(self) -> None:
        """Return when stop() was called; until then use certificates that replace the loaded one."""
        if self._certificate is None:
            await self._stop.wait()
            return
        CERTIFICATE_ENDS.set(self._certificate.ends_at.timestamp())
        while not self._stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._stop.wait()
            try:
                if self._certificate.refresh():
                    CERTIFICATE_ENDS.set(self._certificate.ends_at.timestamp())
                    log.info("certificate_loaded", server=self.name)
            except TlsFileError as error:  # half replaced, perhaps: the loaded one stays in use
                log.warning("certificate_not_loaded", server=self.name, why=str(error))


@asynccontextmanager
async def _served(make: Callable[[], asyncio.Protocol], host: str, port: int, tls: Tls | None) -> AsyncIterator[int]:
    listening = await asyncio.get_running_loop().create_server(
        make,
        host,
        port,
        backlog=BACKLOG,
        ssl=tls.context if tls else None,
        ssl_handshake_timeout=tls.handshake_s if tls else None,
    )
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


def _log_without_content(record: logging.LogRecord) -> bool:
    """Log malformed requests in one line without their content: the server's own text shows tokens and keys."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = f"request_unreadable ({type(error).__name__}) {record.getMessage()}", ()
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True
