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
    BAD_FRAMING = "bad-framing", 400, _NO, "the body's length is given in none or several ways"
    BAD_CHUNK = "bad-chunk", 400, _NO, "a chunk of the body is malformed"
    BAD_TRAILER = "bad-trailer", 400, _NO, "the trailers are malformed or too large"
    INVALID_REQUEST = "invalid-request", 400, _NO, "the target is not a path, or the host is invalid"
    UNKNOWN_METHOD = "unknown-method", (501, 405), _NO, "the method is not supported (405: `CONNECT` and `TRACE`)"
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
        "the service needs a token, and the request has none",
        "the service is no longer public, and the caller sent no token",
    )
    MALFORMED_TOKEN = (
        "malformed-token",
        401,
        _NO,
        "the token was not issued by this installation, or there are several `Authorization` fields",
        "the service is no longer public, and the caller's token was not issued by this installation",
    )
    UNKNOWN_KEY = (
        "unknown-key",
        401,
        _NO,
        "the token is signed with an unknown key",
        "the key that signed the token was retired",
    )
    BAD_SIGNATURE = (
        "bad-signature",
        401,
        _NO,
        "the token's signature is invalid",
        "the service is no longer public, and the signature of the caller's token is invalid",
    )
    EXPIRED_TOKEN = (
        "expired-token",
        401,
        _NO,
        "the token has expired",
        "the caller's token has expired",
    )
    REVOKED_TOKEN = (
        "revoked-token",
        401,
        _NO,
        "the token was revoked",
        "the caller's token was revoked",
    )
    WRONG_SECRET = (
        "wrong-secret",
        401,
        _NO,
        "no named client with this name and secret",
        "the named client was deleted, or its secret was rotated",
    )
    OTHER_SERVICE = (
        "other-service",
        403,
        _NO,
        "the token is for another service or project",
        "the service is no longer public, and the caller's token is for another service",
    )
    ORIGIN_NOT_ALLOWED = (
        "origin-not-allowed",
        403,
        _NO,
        "a CORS preflight request from an origin that `cors` (or `fleet_cors_origins`) does not allow",
    )

    # what is asked for
    UNKNOWN_SERVICE = "unknown-service", 404, _NO, "no service has this address"
    NOT_FOUND = "not-found", 404, _NO, "no such path at the fleet's base URL"
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, _NO, "models can only be listed with `GET`"

    # how it comes
    HEAD_TIMEOUT = "head-timeout", 408, _LATER, "the request's head was not complete in time"
    CALLER_IDLE = "caller-idle", 408, _PERHAPS, "the caller stopped sending the body"
    BODY_TOO_SLOW = "body-too-slow", 408, _PERHAPS, "the body was sent more slowly than `min_body_bytes_per_s`"
    BODY_TOO_LARGE = "body-too-large", 413, _NO, "larger than the service's or the proxy's limit (`limit`)"

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
    REQUEST_RATE = "request-rate", 429, _LATER, "the caller's limit of requests a second"
    CALLER_IN_FLIGHT = "caller-in-flight", 429, _LATER, "the caller's limit of concurrent requests"
    TOKEN_RATE = "token-rate", 429, _LATER, "the caller's limit of tokens a minute"
    TOKEN_BUDGET = "token-budget", 429, _LATER, "the caller's limit of tokens a day (UTC)"
    REPLICAS_FULL = (
        "replicas-full",
        429,
        _LATER,
        "all replicas were at their limit of requests until the queue time-out",
    )
    QUEUE_FULL = (
        "queue-full",
        429,
        _LATER,
        "the queue is full, or the request was evicted for a caller with fewer queued requests",
    )
    BODIES_FULL = (
        "bodies-full",
        503,
        _LATER,
        "`max_held_body_bytes` are buffered already, of bodies whose `model` is not known yet",
    )
    PROXY_FULL = "proxy-full", 503, _LATER, "the proxy has `max_open_requests` or `max_connections` open"

    # no replica takes it
    STOPPED = "stopped", 503, _LATER, "a user stopped the service"
    NO_REPLICAS = "no-replicas", 503, _LATER, "the service is scaled to 0 replicas"
    START_FAILED = (
        "start-failed",
        503,
        _LATER,
        "it has no replica: too many starts failed, and none is tried until a user retries",
    )
    NO_WEIGHT = "no-weight", 503, _LATER, "every healthy replica has weight 0"
    STARTING = "starting", 503, _LATER, "no replica is ready yet"
    ALL_UNHEALTHY = "all-unhealthy", 503, _LATER, "all replicas fail their health checks"
    UNREACHABLE = (
        "unreachable",
        503,
        _LATER,
        "no connection to any serving replica until the queue time-out",
    )
    SERVICE_REMOVED = "service-removed", 503, _LATER, "the service was deleted"

    # a replica does not answer, or not to the end
    CONNECT_FAILED = (
        "connect-failed",
        502,
        _LATER,
        "no connection to the replica, and the service has no queue",
        "",
        "no connection to the replica",
    )
    CONNECT_TIMEOUT = (
        "connect-timeout",
        504,
        _LATER,
        "no connection to the replica in time, and the service has no queue",
        "",
        "no connection to the replica in time",
    )
    CONNECTION_LOST = (
        "connection-lost",
        502,
        _PERHAPS,
        "the replica closed the connection without a response",
        "the replica closed the connection in the middle of the response",
        "the replica closed the connection without a response",
    )
    REPLICA_UNREACHABLE = (
        "replica-unreachable",
        504,
        _PERHAPS,
        "the replica's machine acknowledged nothing for `replica_tcp_user_timeout_s`: no power, or its network is cut",
        "the replica's machine acknowledged nothing for `replica_tcp_user_timeout_s`",
        "the replica's machine acknowledged nothing for `replica_tcp_user_timeout_s`",
    )
    BAD_RESPONSE = (
        "bad-response",
        502,
        _PERHAPS,
        "the replica's response was no valid HTTP",
        "the rest of the response was malformed",
    )
    FIRST_BYTE_TIMEOUT = "first-byte-timeout", 504, _PERHAPS, "no response from the replica in time"
    ENGINE_UNAVAILABLE = "engine-unavailable", 502, _PERHAPS, "", "", "the engine answered 502 or 503"
    REPLICA_TAKEN_OUT = (
        "replica-taken-out",
        502,
        _PERHAPS,
        "",
        "",
        "the replica was ejected or left the route table before it responded",
    )
    NO_OTHER_REPLICA = "no-other-replica", 502, _PERHAPS, "the request failed on all replicas"
    IDLE_TIMEOUT = "idle-timeout", 504, _PERHAPS, "", "no data for the service's idle time-out"
    CALLER_STALLED = (
        "caller-stalled",
        502,
        _PERHAPS,
        "",
        "the caller did not read the response; its connection is closed",
    )
    REPLICA_STOPPED = (
        "replica-stopped",
        503,
        _PERHAPS,
        "the replica's drain ended before its response began",
        "the replica's drain ended, or it left the route table",
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
        "a worker process of the app-proxy died; the caller's connection is closed",
    )
    INTERNAL_ERROR = (
        "internal-error",
        500,
        _PERHAPS,
        "a bug of the proxy; its log has the request id",
        "a bug of the proxy in the middle of a response; the caller's connection is closed",
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
    NOT_JSON = "not-json", 400, "the body is no JSON object; with the error and its position"
    BYTE_ORDER_MARK = "byte-order-mark", 400, "it begins with a byte order mark, or is UTF-16 or UTF-32"
    COMPRESSED_BODY = "compressed-body", 415, "it is compressed (gzip and others)"
    NOT_A_FORM = "not-a-form", 400, "the body is not the form that its `Content-Type` says"
    TOO_DEEP = "too-deep", 400, "nested too deep to be read"
    NAME_TOO_LONG = "name-too-long", 400, "`model` is longer than 512 bytes"
    TOO_MANY_MEMBERS = "too-many-members", 400, "more than 1,000 members before `model`"
    TOO_MANY_PARTS = "too-many-parts", 400, "more than 1,000 parts before `model`"
    REPEATED_MODEL = "repeated-model", 400, "`model` is repeated"
    WRONG_TYPE = "wrong-type", 400, "`model` is not a string"
    UNKNOWN_MODEL = "unknown-model", 404, "no such model, or not for this caller"

    @property
    def shown(self) -> str:
        """Code as callers get it, in OpenAI's spelling."""
        return "model_not_found" if self is ModelReason.UNKNOWN_MODEL else self.replace("-", "_")
