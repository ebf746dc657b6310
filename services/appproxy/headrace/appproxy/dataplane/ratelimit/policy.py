"""Rate-limit arithmetic of one caller: requests a second and at once, tokens a minute and a day. Pure, on given clocks.

Rates are GCRA (ITU-T I.371: the virtual scheduling form of a token bucket): one number, the moment at which the bucket is full
again. A token estimate is reserved when a request is admitted and settled when it ends, by what was really used; that may be
more than there was, and the bucket is then in debt. The day is the UTC calendar day: what people read on a bill, and exact
to the token. A request counts to the day in which it was admitted.

*.lua hold the same arithmetic for all app-proxies together; tests compare the two.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, floor
from typing import Final, Literal

from headrace.common.contracts.messages.routes import MIN_RATE, RateLimits
from headrace.common.contracts.reasons.proxy import ProxyReason

Code = Literal[ProxyReason.REQUEST_RATE, ProxyReason.CALLER_IN_FLIGHT, ProxyReason.TOKEN_RATE, ProxyReason.TOKEN_BUDGET]
LimiterMode = Literal["shared", "local"]

DAY_S: Final = 86_400
MINUTE_S: Final = 60.0
MAX_TOKENS: Final = 1 << 40
"""Largest cost of a request: a replica's `usage` is not trusted beyond it."""
MAX_DEBT_S: Final = 3600.0
"""Longest time for which a settlement may exhaust a caller's tokens a minute."""
DEFAULT_COMPLETION_TOKENS: Final = 512
BYTES_PER_TOKEN: Final = 4
IN_FLIGHT_RETRY_S: Final = 1.0
"""Wait suggested at the concurrency limit: nobody knows when a request ends."""
_ROUNDING_S: Final = 1e-7

_JUDGED: Final[dict[LimiterMode, bytes]] = {
    "shared": b"x-headrace-limits: shared\r\n",
    "local": b"x-headrace-limits: local\r\n",
}
_TEXTS: Final[dict[Code, str]] = {
    ProxyReason.REQUEST_RATE: "this caller sends more requests a second than it may",
    ProxyReason.CALLER_IN_FLIGHT: "this caller has as many requests open as it may",
    ProxyReason.TOKEN_RATE: "this caller has too few tokens of the minute left",
    ProxyReason.TOKEN_BUDGET: "this caller has too few tokens of the day (UTC) left",
}


def estimate_tokens(body_bytes: int | None, max_tokens: int | None) -> int:
    """Return the number of tokens to reserve: a quarter of the body's bytes, plus the completion's limit or 512.

    Four bytes a token is English prose in common tokenizers, and JSON's own characters make up for denser languages;
    `body_bytes` None (chunked) counts 0. The estimate need not be exact, since the real usage is settled at the end.
    """
    completion = DEFAULT_COMPLETION_TOKENS if max_tokens is None else max(0, max_tokens)
    return min(MAX_TOKENS, max(0, body_bytes or 0) // BYTES_PER_TOKEN + completion)


class Quota:
    """RateLimits as token-bucket parameters. Intervals are seconds per unit; 0 is no limit."""

    __slots__ = (
        "bounds_anything",
        "in_flight",
        "needs_settling",
        "request_burst_s",
        "request_interval_s",
        "token_interval_s",
        "tokens_per_day",
        "tokens_per_minute",
    )

    def __init__(self, limits: RateLimits, divided_by: int = 1) -> None:
        rate = limits.requests_per_second
        # Smaller rates were allowed once; a bucket that fills that slowly exceeds the numbers of Redis and of header fields.
        self.request_interval_s = 0.0 if rate is None else divided_by / max(rate, MIN_RATE)
        self.request_burst_s = max(1.0, self.request_interval_s) if rate is not None else 0.0
        self.in_flight = _part(limits.in_flight, divided_by)
        self.tokens_per_minute = _part(limits.tokens_per_minute, divided_by)
        self.token_interval_s = MINUTE_S / self.tokens_per_minute if self.tokens_per_minute else 0.0
        self.tokens_per_day = _part(limits.tokens_per_day, divided_by)
        self.needs_settling = bool(self.in_flight or self.tokens_per_minute or self.tokens_per_day)
        """True if the end of a request must be settled."""
        self.bounds_anything = self.needs_settling or rate is not None


def _part(limit: int | None, divided_by: int) -> int:
    """Return one worker's part of a limit; at least one, or a small limit would refuse everything."""
    return 0 if limit is None else max(1, limit // divided_by)


class Usage:
    """Usage of one caller: the levels of its buckets. `now_s` is monotonic; it and `day` (days since 1970, UTC) are
    arguments.
    """

    __slots__ = (
        "day",
        "day_tokens",
        "full_s",
        "in_flight",
        "request_full_s",
        "request_interval_s",
        "token_full_s",
        "token_interval_s",
    )

    def __init__(self) -> None:
        self.request_full_s = 0.0
        """Time at which the request bucket is full again."""
        self.token_full_s = 0.0
        """The same for tokens a minute; beyond a minute from now is debt."""
        self.request_interval_s = self.token_interval_s = 0.0
        """Rates for which these times were computed; 0: none yet. See follow()."""
        self.full_s = 0.0
        """Last time the token bucket was seen full: what was reserved before has been refilled, and is not given back
        twice."""
        self.day = 0
        self.day_tokens = 0
        self.in_flight = 0


class Reservation:
    """Reservation of one admitted request, settled exactly once."""

    __slots__ = ("at_s", "caller", "day", "day_tokens", "lease", "minute_tokens", "open", "quota")

    def __init__(self, caller: str, quota: Quota, tokens: int, at_s: float, day: int, lease: str = "") -> None:
        self.caller = caller
        self.quota = quota
        self.minute_tokens = _capped(tokens, quota.tokens_per_minute)
        self.day_tokens = _capped(tokens, quota.tokens_per_day)
        self.at_s = at_s
        self.day = day
        self.lease = lease
        """Its lease in Redis; empty for local limits."""
        self.open = True

    @property
    def estimate(self) -> int:
        """Tokens that count if nobody tells how many were used: of the day, else of the minute."""
        return self.day_tokens or self.minute_tokens


class Verdict:
    """Decision of the rate limiter (`code` None: allowed), with the numbers for the response. Limits that are not set
    are None.

    wait_s: time until the request might be allowed; 0 if it is.
    """

    __slots__ = (
        "code",
        "limit_requests",
        "limit_tokens",
        "limiter_mode",
        "remaining_requests",
        "remaining_tokens",
        "reservation",
        "reset_requests_s",
        "reset_tokens_s",
        "wait_s",
    )

    def __init__(self, code: Code | None, wait_s: float, limiter_mode: LimiterMode) -> None:
        self.code = code
        self.wait_s = wait_s
        self.limiter_mode = limiter_mode
        self.limit_requests: int | None = None
        self.limit_tokens: int | None = None
        """The one of minute and day with less remaining."""
        self.remaining_requests = self.remaining_tokens = 0
        self.reset_requests_s = self.reset_tokens_s = 0.0
        self.reservation: Reservation | None = None

    @property
    def allowed(self) -> bool:
        """True if the request is allowed."""
        return self.code is None

    @property
    def text(self) -> str:
        """Reason of a refusal as part of a sentence; empty if allowed."""
        return _TEXTS[self.code] if self.code is not None else ""

    @property
    def retry_after_s(self) -> int:
        """`wait_s` in whole seconds, at least 1 for a refusal."""
        return 0 if self.allowed else max(1, ceil(self.wait_s))

    @property
    def fields(self) -> bytes:
        """Return the rate-limit fields of the response, each with its CRLF; none if the caller has no limits.

        Named as in OpenAI's API (platform.openai.com/docs/guides/rate-limits), and `x-headrace-limits`: shared (over
        all app-proxies) or local (this worker's part of the limit). A refusal has retry-after-ms, which OpenAI's
        clients prefer; retry-after comes with the problem.
        """
        if self is UNLIMITED:
            return b""
        fields = _JUDGED[self.limiter_mode]
        if self.limit_tokens is not None:
            fields = (
                b"x-ratelimit-limit-tokens: %d\r\nx-ratelimit-remaining-tokens: %d\r\nx-ratelimit-reset-tokens: %b\r\n%b"
                % (
                    self.limit_tokens,
                    self.remaining_tokens,
                    duration(self.reset_tokens_s),
                    fields,
                )
            )
        if self.limit_requests is not None:
            # A literal format is compiled; a named one is parsed each time.
            fields = (
                b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\nx-ratelimit-reset-requests: %b\r\n%b"
                % (
                    self.limit_requests,
                    self.remaining_requests,
                    duration(self.reset_requests_s),
                    fields,
                )
            )
        return fields if self.allowed else fields + b"retry-after-ms: %d\r\n" % max(1, ceil(self.wait_s * 1000))


def _capped(tokens: int, limit: int) -> int:
    """Return the estimate, reduced to the limit: a larger one needs a full bucket, or it would never be allowed; the
    rest becomes debt.
    """
    return min(tokens, limit) if limit else 0


def follow(quota: Quota, usage: Usage, *, now_s: float) -> bool:
    """Adapt the buckets of `usage` to `quota`, and return True if they changed.

    When a limit changes, the used part of its bucket stays used, and refills at the new rate: a lowered rate is no debt
    beyond an empty bucket (tokens in debt stay so), and a raised one is available at once.
    """
    request, token = quota.request_interval_s, quota.token_interval_s
    followed = False
    if request and request != usage.request_interval_s:
        scale = request / usage.request_interval_s if usage.request_interval_s else 1.0
        used_s = max(0.0, usage.request_full_s - now_s) * scale
        usage.request_full_s = now_s + min(used_s, quota.request_burst_s)
        usage.request_interval_s, followed = request, True
    if token and token != usage.token_interval_s:
        scale = token / usage.token_interval_s if usage.token_interval_s else 1.0
        used_s = max(0.0, usage.token_full_s - now_s)
        debt_s = max(0.0, used_s - MINUTE_S)
        usage.token_full_s = now_s + min((used_s - debt_s) * scale, MINUTE_S) + min(debt_s * scale, MAX_DEBT_S)
        usage.token_interval_s, followed = token, True
    return followed


def judge(quota: Quota, usage: Usage, tokens: int, *, now_s: float, unix_s: float) -> tuple[Code | None, float]:
    """Return the limit that a request of `tokens` would exceed, and the seconds until it would not; None and 0 if
    allowed.

    `usage` follows the quota: call follow() first. Of several limits it is the one with the longest wait. Changes
    nothing.
    """
    code: Code | None = None
    wait_s = 0.0
    if quota.request_interval_s:
        due_s = max(usage.request_full_s, now_s) + quota.request_interval_s - quota.request_burst_s - now_s
        if due_s > _ROUNDING_S:
            code, wait_s = ProxyReason.REQUEST_RATE, due_s
    if quota.in_flight and usage.in_flight >= quota.in_flight and wait_s < IN_FLIGHT_RETRY_S:
        code, wait_s = ProxyReason.CALLER_IN_FLIGHT, IN_FLIGHT_RETRY_S
    if quota.tokens_per_minute:
        cost = min(tokens, quota.tokens_per_minute) * quota.token_interval_s
        due_s = max(usage.token_full_s, now_s) + cost - MINUTE_S - now_s
        if due_s > _ROUNDING_S and due_s > wait_s:
            code, wait_s = ProxyReason.TOKEN_RATE, due_s
    if quota.tokens_per_day:
        used = usage.day_tokens if usage.day == int(unix_s // DAY_S) else 0
        left_s = DAY_S - unix_s % DAY_S
        if used + min(tokens, quota.tokens_per_day) > quota.tokens_per_day and left_s > wait_s:
            code, wait_s = ProxyReason.TOKEN_BUDGET, left_s
    return code, wait_s


def charge(quota: Quota, usage: Usage, reservation: Reservation, *, now_s: float) -> None:
    """Charge an admitted request to `usage`."""
    if quota.request_interval_s:
        usage.request_full_s = max(usage.request_full_s, now_s) + quota.request_interval_s
    if quota.needs_settling:
        usage.in_flight += 1
    if quota.tokens_per_minute:
        if usage.token_full_s <= now_s:
            usage.token_full_s = usage.full_s = now_s
        usage.token_full_s += reservation.minute_tokens * quota.token_interval_s
    if quota.tokens_per_day:
        if usage.day != reservation.day:
            usage.day, usage.day_tokens = reservation.day, 0
        usage.day_tokens += reservation.day_tokens


def settle(usage: Usage, reservation: Reservation, tokens: int | None, *, now_s: float) -> None:
    """Settle a request that has used `tokens`: 0 gives everything back, None (unknown) keeps the estimate. Call it once
    only.
    """
    if not reservation.open:
        return
    reservation.open = False
    usage.in_flight = max(0, usage.in_flight - 1)
    if tokens is None:
        return
    really = min(max(0, tokens), MAX_TOKENS)
    quota = reservation.quota
    if quota.tokens_per_minute:
        a_token_s = usage.token_interval_s or quota.token_interval_s
        _settle_minute(usage, reservation, (really - reservation.minute_tokens) * a_token_s, now_s)
    if quota.tokens_per_day and usage.day == reservation.day:
        usage.day_tokens = max(0, usage.day_tokens + really - reservation.day_tokens)


def _settle_minute(usage: Usage, reservation: Reservation, more_s: float, now_s: float) -> None:
    if more_s < 0:
        if reservation.at_s >= usage.full_s:
            usage.token_full_s += more_s
        return
    if usage.token_full_s <= now_s:
        usage.token_full_s = usage.full_s = now_s
    usage.token_full_s = max(usage.token_full_s, min(usage.token_full_s + more_s, now_s + MINUTE_S + MAX_DEBT_S))


def verdict_of(
    quota: Quota,
    usage: Usage,
    code: Code | None,
    wait_s: float,
    *,
    now_s: float,
    unix_s: float,
    limiter_mode: LimiterMode,
) -> Verdict:
    """Return the verdict with what remains according to `usage`, which includes an admitted request already."""
    verdict = Verdict(code, wait_s, limiter_mode)
    if quota.request_interval_s:
        busy_s = max(0.0, usage.request_full_s - now_s)
        verdict.limit_requests = floor(quota.request_burst_s / quota.request_interval_s + _ROUNDING_S)
        verdict.remaining_requests = _whole((quota.request_burst_s - busy_s) / quota.request_interval_s)
        verdict.reset_requests_s = busy_s
    if quota.tokens_per_minute:
        busy_s = max(0.0, usage.token_full_s - now_s)
        verdict.limit_tokens = quota.tokens_per_minute
        verdict.remaining_tokens = _whole((MINUTE_S - busy_s) / quota.token_interval_s)
        verdict.reset_tokens_s = busy_s
    if quota.tokens_per_day:
        used = usage.day_tokens if usage.day == int(unix_s // DAY_S) else 0
        left = max(0, quota.tokens_per_day - used)
        if verdict.limit_tokens is None or left < verdict.remaining_tokens:
            verdict.limit_tokens, verdict.remaining_tokens = quota.tokens_per_day, left
            verdict.reset_tokens_s = DAY_S - unix_s % DAY_S
    return verdict


def _whole(number: float) -> int:
    return max(0, floor(number + 1e-6))


def duration(seconds: float) -> bytes:
    """Format `seconds`, rounded up to a millisecond, as OpenAI does: 20ms, 1s, 1.5s, 6m0s, 2h0m5s."""
    milliseconds = max(0, ceil(seconds * 1000 - 1e-4))
    return _SHORT[milliseconds] if milliseconds < len(_SHORT) else _milliseconds(milliseconds)


_SHORT: Final[list[bytes]] = [b"0s", *(b"%dms" % milliseconds for milliseconds in range(1, 1000))]


@lru_cache(maxsize=4096)
def _milliseconds(milliseconds: int) -> bytes:
    whole, rest = divmod(milliseconds, 1000)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)
    front = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{front}{text}s".encode()


UNLIMITED: Final = Verdict(None, 0.0, "local")
"""Verdict for callers without limits; one object for all, without a reservation."""
