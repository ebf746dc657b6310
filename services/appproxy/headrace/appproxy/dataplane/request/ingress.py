"""Ingress steps of a request: plan, authentication, body inspection, rate limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.ratelimit.policy import counts_tokens
from headrace.appproxy.dataplane.request import cors_preflight, openai
from headrace.appproxy.dataplane.request.body import RequestBody
from headrace.appproxy.dataplane.request.local_replies import problem_of
from headrace.appproxy.dataplane.request.plan import RequestPlan, plan_for
from headrace.common.contracts.reasons.proxy import ProxyReason

if TYPE_CHECKING:
    from headrace.appproxy.dataplane.request.exchange import Exchange


def enter(exchange: Exchange) -> None:
    """Take the first steps. Raises Problem."""
    context, head = exchange.context, exchange.head
    plan: RequestPlan | None = head.memo
    if plan is not None and plan.table_version is context.backends.table_version:
        exchange.record.request_id = plan.request_id or context.new_request_id()
        exchange.record.client_address = plan.client_address
    else:
        plan = head.memo = plan_for(exchange)
    exchange.plan = plan
    exchange.fields = plan.fields + exchange.record.request_id + b"\r\n"
    if context.tracer.traces:
        exchange.fields += context.tracer.begin(exchange.record, plan.consumed)
    if plan.cors:
        exchange.cors_fields = plan.cors
        if plan.preflight is not None:
            cors_preflight.answer(exchange, plan.backend, plan.preflight)
            return
    if context.requests.stopping:
        raise problem_of(ProxyReason.SHUTTING_DOWN, "this app-proxy is stopping")
    if len(context.requests.open) > context.proxy_limits.max_open_requests:
        raise problem_of(ProxyReason.PROXY_FULL, "this app-proxy has too many open requests", retry_after_s=1)
    if head.length:
        bounds = context.proxy_limits
        body = exchange.body = RequestBody(head.length, limit=bounds.max_body_bytes, keep=bounds.replay_bytes)
        body.add(exchange.early_body, forget=False)
        exchange.early_body = b""
    if plan.backend is None:
        openai.enter(exchange, plan.authorization)
    else:
        enter_service(exchange, plan.backend, plan.authorization)


def enter_service(exchange: Exchange, backend: Backend, authorization: bytes | None) -> None:
    """The service is known: let the caller in. Raises Problem."""
    context = exchange.context
    principal = exchange.record.principal = context.authenticator.authenticate(
        backend.entry, authorization, context.epoch()
    )
    exchange.backend, exchange.found, exchange.record.service = backend, True, backend.name
    if principal.name is not None:
        exchange.fields += b"X-Forwarded-User: " + principal.name + b"\r\n"
    if principal.forward_authorization is not None:
        exchange.fields += b"Authorization: " + principal.forward_authorization + b"\r\n"
    if exchange.body is not None and (most := backend.max_body_bytes) is not None:
        exchange.body.limit_to(most)
    if principal.limits is None and not backend.load_balancer.has_affinity:
        exchange.admit()
        return
    counts = counts_tokens(principal.limits)
    if backend.load_balancer.body_members or counts:
        wants = backend.load_balancer.body_members | {"max_tokens"} if counts else backend.load_balancer.body_members
        _read_head(exchange, wants, backend.load_balancer.prompt_bytes, counts=counts)
    else:
        _bind(exchange, None, counts=counts)


def _read_head(exchange: Exchange, wants: frozenset[str], prompt_bytes: int, *, counts: bool) -> None:
    openai.read_head(exchange, wants, prompt_bytes, lambda found: _bind(exchange, found, counts=counts))


def _bind(exchange: Exchange, found: openai.BodyHead | None, *, counts: bool) -> None:
    exchange.affinity_key = exchange.backend.load_balancer.affinity_key(exchange.head, found)
    limits = exchange.record.principal.limits if exchange.record.principal is not None else None
    if limits is None:
        exchange.admit()
    else:
        exchange.reserve(limits, openai.tokens_of(exchange, found) if counts else 0)
