"""The engine's web application: errors, health, metrics, the echo WebSocket, and the debug routes."""

import json
import logging
from typing import Literal, TypeAlias

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.typedefs import Handler

from headrace.engine import metrics, openai
from headrace.engine.engine import Engine
from headrace.engine.openai import ENGINE
from headrace.engine.problems import BadRequest, Refusal, error_response
from headrace.engine.settings import SettingError

log = logging.getLogger("headrace.engine")
_BODY_BYTES = 8 << 20
_MESSAGE_BYTES = 1 << 20
_Socket: TypeAlias = web.WebSocketResponse[Literal[True]]
_SOCKETS = web.AppKey("sockets", set[_Socket])


def build(engine: Engine) -> web.Application:
    """Return the application. Serve it with `handler_cancellation`, else a caller's disconnect goes unnoticed."""
    app = web.Application(middlewares=[_errors], client_max_size=_BODY_BYTES)
    app[ENGINE] = engine
    app[_SOCKETS] = set()
    openai.setup(app)
    app.router.add_get("/health", _health)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/echo", _echo)
    if engine.settings.debug:
        app.router.add_get("/debug/requests", _requests)
        app.router.add_get("/debug/settings", _settings)
        app.router.add_post("/debug/settings", _change_settings)
    app.on_shutdown.append(_close_sockets)
    return app


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in OpenAI's shape."""
    try:
        return await handler(request)
    except Refusal as error:
        return error_response(error.status, str(error), error.kind, param=error.param, code=error.code)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return error_response(error.status, f"{error.status}: {error.reason}", "invalid_request_error")
    except ConnectionError:
        raise  # the caller has disconnected
    except Exception:
        log.exception("request failed")
        return error_response(500, "internal error", "server_error")


async def _health(request: web.Request) -> web.Response:
    """200 once the model is loaded, 503 before and while `fail_health` is set."""
    engine = request.app[ENGINE]
    await engine.while_set("hang_health")
    if engine.behaviour.fail_health:
        return web.Response(status=503, text="unhealthy: the settings ask for it\n")
    if not engine.loaded:
        return web.Response(status=503, text="loading\n")
    return web.Response(text="ok\n")


async def _metrics(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    page = engine.metrics.page(
        running=engine.slots.running, waiting=engine.slots.waiting, kv_cache_usage=engine.kv_cache_usage
    )
    return web.Response(body=page.encode(), headers={"Content-Type": metrics.CONTENT_TYPE})


async def _echo(request: web.Request) -> _Socket:
    """Echo every message, text as text and bytes as bytes, at most 1 MiB each."""
    engine = request.app[ENGINE]
    socket = web.WebSocketResponse(max_msg_size=_MESSAGE_BYTES, heartbeat=30.0)
    await socket.prepare(request)
    sockets = request.app[_SOCKETS]
    with engine.request_log.entry(request.path, model="", stream=True, headers=request.headers) as entry:
        entry.state = "running"
        sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await socket.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    await socket.send_bytes(message.data)
        finally:
            sockets.discard(socket)
    return socket


async def _close_sockets(app: web.Application) -> None:
    sockets = app[_SOCKETS]
    for socket in tuple(sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the engine stops")


async def _requests(request: web.Request) -> web.Response:
    """200 with the counters and the newest requests (`?limit=`, 100 by default)."""
    limit = request.query.get("limit", "100")
    if not limit.isascii() or not limit.isdigit():
        raise BadRequest("limit must be a whole number", param="limit")
    return web.json_response(request.app[ENGINE].request_log.view(int(limit)))


async def _settings(request: web.Request) -> web.Response:
    """200 with the current behaviour."""
    return web.json_response(vars(request.app[ENGINE].behaviour))


async def _change_settings(request: web.Request) -> web.Response:
    """200 with the changed behaviour; 400 names the first invalid setting, and nothing is changed."""
    engine = request.app[ENGINE]
    try:
        body = await request.json()
    except json.JSONDecodeError:
        raise BadRequest("the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    try:
        engine.change(body)
    except SettingError as error:
        raise BadRequest(str(error), param=error.name) from None
    log.info("settings changed: %s", ", ".join(sorted(body)))
    return web.json_response(vars(engine.behaviour))
