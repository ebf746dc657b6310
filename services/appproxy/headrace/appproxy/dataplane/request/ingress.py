"""Ingress of requests: plan, authentication, body inspection, rate limits, up to admission."""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.http1.heads import FramingError, RequestHead
from headrace.appproxy.dataplane.ratelimit.policy import Verdict
from headrace.appproxy.dataplane.request import body_head, cors_preflight, openai
from headrace.appproxy.dataplane.request.attempt import admit
from headrace.appproxy.dataplane.request.body import RequestBody
from headrace.appproxy.dataplane.request.downstream import Acceptor, DownstreamConnection
from headrace.appproxy.dataplane.request.exchange import Exchange, OpenRequests
from headrace.appproxy.dataplane.request.local_replies import as_problem, problem_of
from headrace.appproxy.dataplane.request.plan import RequestPlan, fill_plan
from headrace.appproxy.dataplane.request.states import Event, State
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.reasons.proxy import ProxyReason

_NEVER: Final = float("inf")


class Ingress(Acceptor):
    """Takes requests in from downstream connections. Every request taken ends by itself, whatever happens."""

    def __init__(self, requests: OpenRequests) -> None:
        self._requests = requests

    def accept(
        self, downstream: DownstreamConnection, head: RequestHead, early: bytes, bad: FramingError | None
    ) -> None:
        """Take a request. `early`: body content that came with the head; `bad`: a framing error in it, if any."""
        exchange = Exchange(self._requests, downstream, head)
        downstream.exchange = exchange
        if bad is not None:
            exchange.body_malformed(bad)
            return
        downstream.deadline = _NEVER
        self._requests.open.add(exchange)
        try:
            _enter(exchange, early)
        except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
            exchange.answer(as_problem(error))


def _enter(exchange: Exchange, early: bytes) -> None:
    """Plan the request and look up its service. Raises Problem."""
    context, head, record = exchange.context, exchange.head, exchange.record
    known: RequestPlan | None = head.memo
    if known is not None and known.table_version is context.backends.table_version:
        plan = exchange.plan = known
        record.request_id = plan.request_id or context.new_request_id()
        record.client_address = plan.client_address
    else:
        plan = exchange.plan = RequestPlan()
        fill_plan(plan, context, exchange.downstream, head, record)
        head.memo = plan
    if context.traces:
        exchange.fields = context.tracer.begin(record, plan.consumed)
    if plan.preflight is not None:
        cors_preflight.answer(exchange, plan.backend, plan.preflight)
        return
    if exchange.requests.stopping:
        raise problem_of(ProxyReason.SHUTTING_DOWN, "this app-proxy is stopping")
    if len(exchange.requests.open) > context.proxy_limits.max_open_requests:
        raise problem_of(ProxyReason.PROXY_FULL, "this app-proxy has too many open requests", retry_after_s=1)
    if head.length:
        bounds = context.proxy_limits
        body = exchange.body = RequestBody(head.length, limit=bounds.max_body_bytes, keep=bounds.replay_bytes)
        body.add(early, forget=False)
    if plan.backend is None:
        openai.enter(exchange, plan.authorization, lambda found, shown: _enter_service(exchange, found, shown))
    else:
        _enter_service(exchange, plan.backend, plan.authorization)


def _enter_service(exchange: Exchange, backend: Backend, authorization: bytes | None) -> None:
    """Authenticate the caller of a known service. Raises Problem."""
    context = exchange.context
    exchange.record.service = backend.name  # also of one that does not let the caller in
    principal = exchange.record.principal = context.authenticator.authenticate(
        backend.entry, authorization, context.epoch()
    )
    exchange.backend, exchange.found = backend, True
    if principal.name is not None:
        exchange.fields += b"X-Forwarded-User: " + principal.name + b"\r\n"
    if principal.forward_authorization is not None:
        exchange.fields += b"Authorization: " + principal.forward_authorization + b"\r\n"
    if exchange.body is not None and (most := backend.max_body_bytes) is not None:
        exchange.body.limit_to(most)
    if principal.limits is None and not backend.load_balancer.has_affinity:
        admit(exchange)
        return
    counts = principal.counts_tokens
    if backend.load_balancer.body_members or counts:
        wants = backend.load_balancer.body_members | {"max_tokens"} if counts else backend.load_balancer.body_members
        _read_head(exchange, wants, backend.load_balancer.prompt_bytes, counts=counts)
    else:
        _bind(exchange, None, counts=counts)


def _read_head(exchange: Exchange, wants: frozenset[str], prompt_bytes: int, *, counts: bool) -> None:
    body_head.read_head(exchange, wants, prompt_bytes, lambda found: _bind(exchange, found, counts=counts))


def _bind(exchange: Exchange, found: body_head.BodyHead | None, *, counts: bool) -> None:
    exchange.affinity_key = exchange.backend.load_balancer.affinity_key(exchange.head, found)
    principal = exchange.record.principal
    if principal is None or principal.limits is None:
        admit(exchange)
    else:
        bucket = principal.bucket or f"{exchange.backend.key}:{exchange.caller_key}"
        _reserve(exchange, bucket, principal.limits, body_head.tokens_of(exchange, found) if counts else 0)


def _reserve(exchange: Exchange, bucket: str, limits: RateLimits, tokens: int) -> None:
    """Reserve this many tokens of the caller's limits, then go on to admission. Raises Problem."""
    verdict = exchange.context.rate_limiter.reserve_now(bucket, limits, tokens)
    if verdict is not None:
        _admitted_by_limits(exchange, verdict)
    else:  # never cancelled: its reservation must be given back
        exchange.advance(Event.STORE_ASKED)
        exchange.context.tasks.spawn(_ask_store(exchange, bucket, limits, tokens))


async def _ask_store(exchange: Exchange, bucket: str, limits: RateLimits, tokens: int) -> None:
    try:
        verdict = await exchange.context.rate_limiter.reserve(bucket, limits, tokens)
        if exchange.state is State.RESERVE:
            _admitted_by_limits(exchange, verdict)
        else:  # it has ended meanwhile
            exchange.context.settle(verdict.reservation, 0)
    except Exception as error:  # noqa: BLE001 - nobody awaits this task: the caller would get no response at all
        exchange.answer(as_problem(error))


def _admitted_by_limits(exchange: Exchange, verdict: Verdict) -> None:
    exchange.reservation = verdict.reservation
    exchange.limit_fields = verdict.fields
    if verdict.code is not None:
        principal = exchange.record.principal
        over_project = principal is not None and principal.limits_scope == "project"
        where = " over all services of its project" if over_project else ""
        raise problem_of(verdict.code, verdict.text + where, retry_after_s=verdict.retry_after_s)
    admit(exchange)
