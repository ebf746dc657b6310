"""Every refusal Headrace makes, one class per RFC 9457 problem type.

Problem
├── InvalidRequest          400 invalid-request
├── MalformedRequest        400 malformed-request   (bytes that are no HTTP request; or another status, by its reason)
├── Unauthenticated         401 unauthenticated
├── Forbidden               403 forbidden
├── NotFound                404 not-found           (also what a caller may not see)
├── MethodNotAllowed        405 method-not-allowed
├── RequestTimeout          408 request-timeout
├── Conflict                409 conflict
│   ├── NameTaken           409 name-taken
│   ├── StaleRevision       409 stale-revision
│   ├── InUse               409 in-use
│   └── AnswerNotKept       409 answer-not-kept     (to a repeated request that was carried out)
├── QuotaExceeded           409 quota-exceeded
├── PreconditionFailed      412 precondition-failed
├── TooLarge                413 too-large
├── UnsupportedMediaType    415 unsupported-media-type
├── RangeNotSatisfiable     416 range-not-satisfiable
├── InvalidDefinition       422 invalid-definition  (a file in a model folder)
├── IdempotencyKeyReused    422 idempotency-key-reused
├── Locked                  423 locked              (another request works on it)
├── TooManyRequests         429 too-many-requests
├── ChecksumMismatch        460 checksum-mismatch   (tus)
├── MalformedMessage        502 malformed-message   (bus)
├── UpstreamFailed          502 upstream-failed
├── Unavailable             503 unavailable
│   └── BusUnavailable      503 bus-unavailable
├── UpstreamTimeout         504 upstream-timeout
└── InsufficientStorage     507 insufficient-storage
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:  # it imports pydantic, which code that only handles errors does not need
    from headrace.common.contracts.reasons import ReasonCode

MAX_ERRORS = 20
"""Error rows of a problem."""


def row(where: str, found: object, allowed: str, *, place: str = "field") -> dict[str, Any]:
    """Return one error row of a problem. `place`: kind of location in `where`, a request field or a path in a file."""
    return {place: where, "found": found, "allowed": allowed}


def further(count: int, *, place: str = "field") -> dict[str, Any]:
    """Return the row that stands for the errors left out."""
    return row("…", f"{count} more errors", "none", place=place)


def at_most(errors: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first errors, and a row with the number of those left out."""
    if len(errors) <= MAX_ERRORS:
        return list(errors)
    first = errors[: MAX_ERRORS - 1]
    return [*first, further(len(errors) - len(first), place="path" if "path" in first[0] else "field")]


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """Refusal as an RFC 9457 problem with a stable type, and a `reason` if the type alone does not tell what to do.

    `extra` members are sent to the caller; never put a secret there.
    """

    type: ClassVar[str] = "internal-error"
    status: int = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, reason: ReasonCode | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason
        self.extra = extra if reason is None else {"reason": reason.value, **extra}
        self.headers: dict[str, str] = {}

    def document(self) -> dict[str, Any]:
        """Return the `application/problem+json` members."""
        return {
            "type": f"urn:headrace:problem:{self.type}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


class InvalidRequest(Problem):
    """Invalid request. `errors`: list of {field, found, allowed}."""

    type, status, title = "invalid-request", 400, "Invalid request"

    def __init__(self, detail: str, *, errors: Sequence[dict[str, Any]] = (), reason: ReasonCode | None = None) -> None:
        super().__init__(detail, reason=reason, errors=at_most(errors))

    @classmethod
    def of(cls, field: str, found: object, allowed: str, *, more: str = "") -> Self:
        """Return the problem of one field. `more`: further extra members."""
        return cls(f"{field}: found {found}; allowed: {allowed}{more}", errors=[row(field, found, allowed)])


class MalformedRequest(Problem):
    """Invalid HTTP, or HTTP that the app-proxy does not serve (400, 405, 414, 431, 501, …, as `reason` says). The
    connection is closed.
    """

    type, status, title = "malformed-request", 400, "Malformed request"

    def __init__(self, detail: str, *, status: int, reason: ReasonCode) -> None:
        super().__init__(detail, reason=reason)
        self.status = status


class Unauthenticated(Problem):
    """No valid credential in the request."""

    type, status, title = "unauthenticated", 401, "Authentication needed"

    def __init__(self, detail: str, *, reason: ReasonCode | None = None, **extra: Any) -> None:
        super().__init__(detail, reason=reason, **extra)
        self.headers = {"WWW-Authenticate": 'Bearer realm="headrace"'}


class Forbidden(Problem):
    """The caller may see the resource, but may not do this to it."""

    type, status, title = "forbidden", 403, "Not allowed"


class NotFound(Problem):
    """The resource does not exist, or the caller may not know that it does."""

    type, status, title = "not-found", 404, "Not found"


class MethodNotAllowed(Problem):
    """The path exists, but not with this method."""

    type, status, title = "method-not-allowed", 405, "Method not allowed"


class RequestTimeout(Problem):
    """The caller did not send the rest of its request in time."""

    type, status, title = "request-timeout", 408, "Request timed out"


class Conflict(Problem):
    """The resource's current state does not permit this."""

    type, status, title = "conflict", 409, "Conflict"


class NameTaken(Conflict):
    """Another resource has this name."""

    type, title = "name-taken", "Name taken"


class StaleRevision(Conflict):
    """The row changed since it was read; read and decide again."""

    type, title = "stale-revision", "Changed meanwhile"


class InUse(Conflict):
    """A live resource still needs it."""

    type, title = "in-use", "In use"


class AnswerNotKept(Conflict):
    """The request with this idempotency key was carried out, and its answer is not kept: it has a secret that is shown once, or
    is large. `location` is what it made.
    """

    type, title = "answer-not-kept", "Answer not kept"


class QuotaExceeded(Problem):
    """The project would pass its quota. Retrying cannot help until quota or usage changes."""

    type, status, title = "quota-exceeded", 409, "Quota exceeded"


class PreconditionFailed(Problem):
    """A condition in the request's headers does not hold: the thing was changed since (If-Match), or tus has another version."""

    type, status, title = "precondition-failed", 412, "Precondition failed"


class TooLarge(Problem):
    """A size limit was exceeded; `limit` has its value."""

    type, status, title = "too-large", 413, "Too large"


class UnsupportedMediaType(Problem):
    """The endpoint does not accept this content type."""

    type, status, title = "unsupported-media-type", 415, "Unsupported media type"


class RangeNotSatisfiable(Problem):
    """The requested range lies outside of the file."""

    type, status, title = "range-not-satisfiable", 416, "Range not satisfiable"

    def __init__(self, detail: str, *, size_bytes: int) -> None:
        super().__init__(detail, size_bytes=size_bytes)
        self.headers = {"Content-Range": f"bytes */{size_bytes}"}


class InvalidDefinition(Problem):
    """Invalid definition file in a model folder. `errors`: list of {path, found, allowed}, with line and column
    where they are known; `file` is its name.
    """

    type, status, title = "invalid-definition", 422, "Invalid definition file"

    def __init__(self, detail: str, *, file: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(detail, file=file, errors=at_most(errors))


class IdempotencyKeyReused(Problem):
    """The idempotency key was sent with another request."""

    type, status, title = "idempotency-key-reused", 422, "Idempotency key reused"


class Locked(Problem):
    """Another request holds the resource; try again when it is done."""

    type, status, title = "locked", 423, "Locked"


class TooManyRequests(Problem):
    """A rate or concurrency limit was reached; Retry-After has the time to wait."""

    type, status, title = "too-many-requests", 429, "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: int, reason: ReasonCode | None = None, **extra: Any) -> None:
        super().__init__(detail, reason=reason, **extra)
        self.headers = {"Retry-After": str(retry_after_s)}


class ChecksumMismatch(Problem):
    """The content does not match its checksum (the status is the one of tus' checksum extension)."""

    type, status, title = "checksum-mismatch", 460, "Checksum mismatch"


class MalformedMessage(Problem):
    """Malformed bus message."""

    type, status, title = "malformed-message", 502, "Malformed message"


class UpstreamFailed(Problem):
    """A replica (or another upstream) sent no usable response."""

    type, status, title = "upstream-failed", 502, "Upstream failed"


class Unavailable(Problem):
    """Temporarily unavailable; `reason` says why."""

    type, status, title = "unavailable", 503, "Unavailable"


class BusUnavailable(Unavailable):
    """The message bus is unreachable; nothing has changed."""

    type, title = "bus-unavailable", "Message bus unavailable"


class UpstreamTimeout(Problem):
    """A replica (or another upstream) did not respond in time; `waited_s` is the time waited."""

    type, status, title = "upstream-timeout", 504, "Upstream timed out"


class InsufficientStorage(Problem):
    """The storage is full."""

    type, status, title = "insufficient-storage", 507, "Insufficient storage"
