"""OpenAI-compatible base URL of the fleet (`/v1`): `model` names the service."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from headrace.appproxy.dataplane.auth.access import Denial
from headrace.appproxy.dataplane.auth.authenticator import denial_problem
from headrace.appproxy.dataplane.auth.credentials import MISSING, forwardable, parse_credential
from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.inspect.model_index import PUBLIC_SCOPE, ModelScope, error, unknown_model
from headrace.appproxy.dataplane.request.exchange import Exchange
from headrace.appproxy.dataplane.request.local_replies import local_reply, problem_of
from headrace.appproxy.dataplane.request.model_reader import ModelReader
from headrace.common.contracts.reasons.proxy import ModelReason, ProxyReason

_MODELS = b"/v1/models"
_REALTIME = b"/v1/realtime"
_MAX_PARAMETERS = 100


def enter(exchange: Exchange, authorization: bytes | None, then: Callable[[Backend, bytes | None], None]) -> None:
    """Serve a request at the fleet's base URL; `then` takes it into the service that its model names. Raises Problem.

    The caller is authenticated first: an invalid credential, or none while no service is public, ends the request at
    once.
    """
    exchange.openai = True
    caller = _caller_of(exchange, authorization)
    path = exchange.plan.target.partition(b"?")[0]
    if path == _MODELS or path.startswith(_MODELS + b"/"):
        _models(exchange, path[len(_MODELS) + 1 :].decode("latin-1"), caller)
        return
    if path == _REALTIME and exchange.plan.upgrade:
        _realtime(exchange, caller, then)
        return
    if exchange.body is None:
        words = "the fleet's base URL serves /v1/models, requests that name their model in the body, and WebSockets of /v1/realtime?model="
        raise problem_of(ProxyReason.NOT_FOUND, words)
    ModelReader(exchange, exchange.body, lambda found: _model_found(exchange, found, caller, then)).begin()


class ModelCaller:
    """Caller at the fleet's base URL, and the error of a credential that is not one of this installation."""

    __slots__ = ("authorization", "denial", "scope")

    def __init__(self, principal: ModelScope, authorization: bytes | None, denial: Denial | None) -> None:
        self.scope = principal
        self.authorization = authorization
        self.denial = denial


def _caller_of(exchange: Exchange, authorization: bytes | None) -> ModelCaller:
    context = exchange.context
    backends = context.backends
    found = context.authenticator.model_scope(backends.tables, backends.model_index, authorization, context.epoch())
    if isinstance(found, ModelScope):
        return ModelCaller(found, authorization, None)
    # Clients of public services send some key because their libraries need one; but an invalid token of ours is refused.
    if not backends.model_index.has_public or (
        found is not MISSING and forwardable(authorization, parse_credential(authorization)) is None
    ):
        raise denial_problem(found, basic=False)
    return ModelCaller(PUBLIC_SCOPE, authorization, found)


def _models(exchange: Exchange, name: str, caller: ModelCaller) -> None:
    index = exchange.context.backends.model_index
    if exchange.head.method not in (b"GET", b"HEAD"):
        raise problem_of(ProxyReason.METHOD_NOT_ALLOWED, "models are listed by GET")
    if not name:
        _answer(exchange, 200, index.page(caller.scope))
        return
    found = index.model(caller.scope, name)
    if found is not None:
        _reply_json(exchange, 200, found)
    else:
        _unknown(exchange, unquote(name), caller)


def _unknown(exchange: Exchange, model: str, caller: ModelCaller) -> None:
    """Return the refusal for an unknown model.

    A model that the caller may not use looks unknown; a caller without a token is asked for one.
    """
    if caller.denial is not None:
        exchange.answer(denial_problem(caller.denial, basic=False))
    else:
        _refuse(exchange, ModelReason.UNKNOWN_MODEL, unknown_model(model))


def _refuse(exchange: Exchange, why: ModelReason, words: str) -> None:
    content = error(words, code=why.shown) | {"request_id": exchange.record.request_id.decode()}
    _reply_json(exchange, why.status, content, why.value)


def _reply_json(exchange: Exchange, status: int, content: dict[str, Any], reason: str = "") -> None:
    """Respond with an error in OpenAI's shape."""
    _answer(exchange, status, json.dumps(content).encode(), reason)


def _answer(exchange: Exchange, status: int, content: bytes, reason: str = "") -> None:
    exchange.record.status, exchange.record.reason = status, reason
    exchange.reply(
        local_reply(
            status,
            b"application/json",
            content,
            request_id=exchange.record.request_id,
            closes=exchange.closes,
            extra=exchange.plan.cors,
            to_head=exchange.head.method == b"HEAD",
        )
    )


def _model_found(
    exchange: Exchange, found: ModelReader, caller: ModelCaller, then: Callable[[Backend, bytes | None], None]
) -> None:
    if found.model is None:
        _refuse(exchange, found.problem or ModelReason.MISSING_MODEL, found.words)
        return
    _forward_to_service(exchange, found.model, caller, then, found)


def _realtime(exchange: Exchange, caller: ModelCaller, then: Callable[[Backend, bytes | None], None]) -> None:
    """Handle a WebSocket of OpenAI's realtime API: its model is in the query."""
    query = exchange.plan.target.partition(b"?")[2].decode("latin-1")
    models = parse_qs(query).get("model", []) if query.count("&") < _MAX_PARAMETERS else []
    if len(models) == 1:
        _forward_to_service(exchange, models[0], caller, then)
        return
    why = ModelReason.REPEATED_MODEL if models else ModelReason.MISSING_MODEL
    _refuse(exchange, why, "the address has to name one model: /v1/realtime?model=<model>")


def _forward_to_service(
    exchange: Exchange,
    model: str,
    caller: ModelCaller,
    then: Callable[[Backend, bytes | None], None],
    found: ModelReader | None = None,
) -> None:
    backends = exchange.context.backends
    service_id = backends.model_index.find(caller.scope, model)
    backend = backends.by_id(service_id) if service_id is not None else None
    if backend is None:
        _unknown(exchange, model, caller)
    else:
        if found is not None and model not in backend.table.models:
            exchange.model_field = found.model_field()
        then(backend, caller.authorization)
