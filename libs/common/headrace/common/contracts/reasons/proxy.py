"""Why the app-proxy answers a request itself, ends an answer early, or sends a request again."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from headrace.common.contracts.reasons import ReasonCode


class Retry(StrEnum):
    """Advice of a reason: whether the same request may succeed when it is sent again."""

    NO = "no"
    """It will be refused again: something about it, its credential or its size must change."""
    LATER = "later"
    """Nothing of it ran. The cause is temporary; 429 and 503 carry Retry-After."""
    PERHAPS = "if it may run twice"
    """It may have run, completely or in part."""


_NO, _LATER, _PERHAPS = Retry.NO, Retry.LATER, Retry.PERHAPS


class ProxyReason(ReasonCode):
    """App-proxy: the `reason` of its local replies, and the `code` of responses that it interrupted."""

    status: int
    """Status of the response, or of the problem in an interrupted response."""
    other_status: int | None
    """The other status, if there are two."""
    retry: Retry
    broken: str
    """Meaning for an interrupted response; empty if it never is the code of one."""
    retried: str
    """Meaning for an attempt that is retried; empty if it never is the reason of one."""

    def __new__(
        cls,
        code: str,
        status: int | tuple[int, int],
        retry: Retry,
        meaning: str = "",
        broken: str = "",
        retried: str = "",
    ) -> Self:
        """Make a member. `meaning` is that of an answer; empty where it is never the reason of one."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning, member.broken, member.retried = meaning, broken, retried
        member.status, member.other_status = (status, None) if isinstance(status, int) else status
        member.retry = retry
        return member

    # bytes that are no request
    BAD_REQUEST = "bad-request", 400, _NO, "the head is malformed: request line, field, line end, target"
    BAD_HOST = "bad-host", 400, _NO, "no `Host`, or several"
    BAD_FRAMING = "bad-framing", 400, _NO, "the body's length is not told in exactly one way"
    BAD_CHUNK = "bad-chunk", 400, _NO, "a chunk of the body is malformed"
    BAD_TRAILER = "bad-trailer", 400, _NO, "the trailers are malformed or too large"
    INVALID_REQUEST = "invalid-request", 400, _NO, "the target is no path, or the host no host"
    UNKNOWN_METHOD = "unknown-method", (501, 405), _NO, "a method that is not served (405: `CONNECT` and `TRACE`)"
    LINE_TOO_LONG = "line-too-long", 414, _NO, "the request line is above `max_line_bytes`"
    BAD_EXPECTATION = "bad-expectation", 417, _NO, "an `Expect` other than `100-continue`"
    HEAD_TOO_LARGE = "head-too-large", 431, _NO, "above `max_head_bytes`"
    FIELD_TOO_LARGE = "field-too-large", 431, _NO, "a field is above `max_header_bytes`"
    TOO_MANY_FIELDS = "too-many-fields", 431, _NO, "above `max_headers`"
    BAD_TRANSFER_ENCODING = "bad-transfer-encoding", 501, _NO, "a transfer encoding other than `chunked`"
    BAD_VERSION = "bad-version", 505, _NO, "a version other than HTTP/1.1 and 1.0"

    # who calls
    MISSING_TOKEN = (
        "missing-token",
        401,
        _NO,
        "the service needs a token, and none came",
        "the service is public no more, and the caller had shown nothing",
    )
    MALFORMED_TOKEN = (
        "malformed-token",
        401,
        _NO,
        "what was shown as a token is none of this installation, or there are several `Authorization`",
        "the service is public no more, and what the caller had shown is no token of this installation",
    )
    UNKNOWN_KEY = (
        "unknown-key",
        401,
        _NO,
        "signed with a key that this installation does not use",
        "the key that signed the token is used no more",
    )
    BAD_SIGNATURE = (
        "bad-signature",
        401,
        _NO,
        "the signature is wrong",
        "the service is public no more, and the signature of what the caller had shown is wrong",
    )
    EXPIRED_TOKEN = (
        "expired-token",
        401,
        _NO,
        "the token has expired",
        "the caller's token expired meanwhile",
    )
    REVOKED_TOKEN = (
        "revoked-token",
        401,
        _NO,
        "the token was revoked",
        "the caller's token was revoked meanwhile",
    )
    WRONG_SECRET = (
        "wrong-secret",
        401,
        _NO,
        "no named client with this name and secret",
        "the named client was revoked, or has another secret now",
    )
    OTHER_SERVICE = (
        "other-service",
        403,
        _NO,
        "the token is for another service or project",
        "the service is public no more, and the caller's token is for another service",
    )
    ORIGIN_NOT_ALLOWED = (
        "origin-not-allowed",
        403,
        _NO,
        "a browser's preflight request for a page that `cors` (or `fleet_cors_origins`) does not name",
    )

    # what is asked for
    UNKNOWN_SERVICE = "unknown-service", 404, _NO, "no service has this address"
    NOT_FOUND = "not-found", 404, _NO, "the fleet's base URL was asked for something that it does not serve"
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, _NO, "models are listed by `GET`"

    # how it comes
    HEAD_TIMEOUT = "head-timeout", 408, _LATER, "the head did not come in time"
    CALLER_IDLE = "caller-idle", 408, _PERHAPS, "the body did not go on"
    BODY_TOO_SLOW = "body-too-slow", 408, _PERHAPS, "the body came more slowly than `min_body_bytes_per_s`"
    BODY_TOO_LARGE = "body-too-large", 413, _NO, "above the service's or the proxy's bound (`limit`)"

    # limits
    TOO_MANY_CONNECTIONS = (
        "too-many-connections",
        429,
        _LATER,
        "this address (of IPv6: this /64) has more connections open than `max_connections_per_address`",
    )
    PREFLIGHT_RATE = (
        "preflight-rate",
        429,
        _LATER,
        "this address (of IPv6: this /64) sends more preflight requests a second than `max_preflights_per_s`",
    )
    REQUEST_RATE = "request-rate", 429, _LATER, "the caller's requests a second"
    CALLER_IN_FLIGHT = "caller-in-flight", 429, _LATER, "the caller's requests at once"
    TOKEN_RATE = "token-rate", 429, _LATER, "the caller's tokens of the minute"
    TOKEN_BUDGET = "token-budget", 429, _LATER, "the caller's tokens of the day (UTC)"
    REPLICAS_FULL = (
        "replicas-full",
        429,
        _LATER,
        "all replicas had their limit of requests for as long as the request could wait",
    )
    QUEUE_FULL = "queue-full", 429, _LATER, "as many wait as may, or it made room for somebody who holds less"
    BODIES_FULL = (
        "bodies-full",
        503,
        _LATER,
        "`max_held_body_bytes` are held already, of bodies whose `model` has not come",
    )
    PROXY_FULL = "proxy-full", 503, _LATER, "`max_open_requests` or `max_connections`"

    # no replica takes it
    STOPPED = "stopped", 503, _LATER, "a user stopped the service"
    NO_REPLICAS = "no-replicas", 503, _LATER, "the service is scaled to 0 replicas"
    START_FAILED = (
        "start-failed",
        503,
        _LATER,
        "it has no replica: so many starts failed that no more are tried until somebody retries",
    )
    NO_WEIGHT = "no-weight", 503, _LATER, "every healthy replica has weight 0"
    STARTING = "starting", 503, _LATER, "no replica is ready yet"
    ALL_UNHEALTHY = "all-unhealthy", 503, _LATER, "all replicas fail their health checks"
    UNREACHABLE = (
        "unreachable",
        503,
        _LATER,
        "none of the replicas that serve could be connected to for as long as the request could wait",
    )
    SERVICE_REMOVED = "service-removed", 503, _LATER, "the service went while the request waited, or came in"

    # a replica does not answer, or not to the end
    CONNECT_FAILED = (
        "connect-failed",
        502,
        _LATER,
        "no connection to the replica, and it may not wait",
        "",
        "no connection to the replica",
    )
    CONNECT_TIMEOUT = (
        "connect-timeout",
        504,
        _LATER,
        "no connection to the replica in time, and it may not wait",
        "",
        "no connection to the replica in time",
    )
    CONNECTION_LOST = (
        "connection-lost",
        502,
        _PERHAPS,
        "the replica ended the connection without an answer",
        "the replica ended in the middle",
        "the replica ended the connection without an answer",
    )
    BAD_RESPONSE = (
        "bad-response",
        502,
        _PERHAPS,
        "the replica's answer was no HTTP, or malformed",
        "the rest of the answer was malformed",
    )
    FIRST_BYTE_TIMEOUT = "first-byte-timeout", 504, _PERHAPS, "no answer from the replica in time"
    ENGINE_UNAVAILABLE = "engine-unavailable", 502, _PERHAPS, "", "", "the engine answered 502 or 503"
    REPLICA_TAKEN_OUT = (
        "replica-taken-out",
        502,
        _PERHAPS,
        "",
        "",
        "the replica left its table before it had answered",
    )
    NO_OTHER_REPLICA = "no-other-replica", 502, _PERHAPS, "all replicas were tried"
    IDLE_TIMEOUT = "idle-timeout", 504, _PERHAPS, "", "nothing came for the service's idle timeout"
    CALLER_STALLED = (
        "caller-stalled",
        502,
        _PERHAPS,
        "",
        "the caller did not take the answer; it sees the connection end",
    )
    REPLICA_STOPPED = (
        "replica-stopped",
        503,
        _PERHAPS,
        "the replica's drain was over before its answer began",
        "the drain was over, or the replica went with its table",
    )
    SHUTTING_DOWN = (
        "shutting-down",
        503,
        _PERHAPS,
        "the app-proxy is stopping",
        "the app-proxy's grace was over",
    )
    WORKER_DIED = (
        "worker-died",
        502,
        _PERHAPS,
        "",
        "a process of the app-proxy ended; the caller sees the connection end",
    )
    INTERNAL_ERROR = (
        "internal-error",
        500,
        _PERHAPS,
        "a mistake of the proxy; the request id finds it in the log",
        "a mistake of the proxy, in the middle of an answer; the caller sees the connection end",
    )


class ModelReason(ReasonCode):
    """Fleet's base URL: why a request's `model` names no service. OpenAI's `code`s, given before the service is known."""

    status: int

    def __new__(cls, code: str, status: int, meaning: str) -> Self:
        """Make a member: as it stands in logs and metrics, the status of the answer, and what it means."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.meaning = meaning
        return member

    MISSING_MODEL = "missing-model", 400, "no `model` in the body"
    NOT_JSON = "not-json", 400, "the body is no JSON object; where it fits, what is wrong and where"
    BYTE_ORDER_MARK = "byte-order-mark", 400, "it begins with a byte order mark, or is UTF-16 or UTF-32"
    COMPRESSED_BODY = "compressed-body", 415, "it is compressed (gzip and others)"
    NOT_A_FORM = "not-a-form", 400, "the body is not the form that its `Content-Type` says"
    TOO_DEEP = "too-deep", 400, "nested too deep to be read"
    NAME_TOO_LONG = "name-too-long", 400, "`model` is longer than 512 bytes"
    TOO_MANY_MEMBERS = "too-many-members", 400, "more than 1,000 members before `model`"
    TOO_MANY_PARTS = "too-many-parts", 400, "more than 1,000 parts before `model`"
    REPEATED_MODEL = "repeated-model", 400, "several `model`"
    WRONG_TYPE = "wrong-type", 400, "`model` is no text"
    UNKNOWN_MODEL = "unknown-model", 404, "no such model, or not for this caller"

    @property
    def shown(self) -> str:
        """Code as callers get it, in OpenAI's spelling."""
        return "model_not_found" if self is ModelReason.UNKNOWN_MODEL else self.replace("-", "_")
