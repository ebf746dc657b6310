"""HTTP transport to the manager: one connection pool, timeouts, problems as exceptions, pages as iterators."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Event, Timer
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.message_header import MESSAGE_HEADER, why_no_message
from headrace.sdk.connections import BrokenError, ConnectFailedError, Pool, Response, SilentError
from headrace.sdk.errors import AnswerLostError, ApiError, HeadraceError, UnexpectedAnswerError, UnreachableError

M = TypeVar("M", bound=BaseModel)
Query = Mapping[str, str | int | float | bool | None]

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_IDEMPOTENCY_KEY: Final = "Idempotency-Key"
_PROBLEM_PREFIX = "urn:headrace:problem:"
_PAGE_ITEMS = 200
_SAID_AFTER_S = 1.0
SLOW_S: Final = 3.0
"""A request without a response for so long is reported once per client."""


def segment(value: object) -> str:
    """Quote `value` as one path segment, so that it cannot become another path."""
    text = quote(str(value), safe="")
    return {"": "%20", ".": "%2E", "..": "%2E%2E"}.get(text, text)


class Transport:
    """HTTP transport with the API key. Safe requests (GET, HEAD), and creations, are retried if the connection fails.

    Raises ApiError for a refusal, UnreachableError, AnswerLostError, UnexpectedAnswerError. Thread-safe.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        retries: int,
        verify: bool | str,
        patience_s: float = 0.0,
        on_wait: Callable[[str], None] | None = None,
        message: str = "",
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`patience_s`: how long a request waits for a server that refuses connections; `on_wait` is called after a
        second of it. `message`: why changes are made.
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not a URL of a server; allowed: http://… or https://…")
        key = key.strip()  # a key from a file ends with its line
        if not (key.isascii() and key.isprintable()):
            raise ValueError("the API key has characters that no key has; allowed: printable ASCII")
        if (wrong := why_no_message(message)) is not None:
            raise ValueError(f"message: found {wrong[0]}; allowed: {wrong[1]}")
        self.url = url.rstrip("/")
        self.retries = retries
        self.sleep = sleep or self._pause
        self.clock = clock
        self.on_wait = on_wait
        self._closing = Event()
        self._others: set[Transport] = set()
        self._alike = partial(
            Transport,
            url,
            key,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            retries=retries,
            verify=verify,
            patience_s=patience_s,
            on_wait=on_wait,
            message=message,
            clock=clock,
        )
        self._said_slow = False
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._headers = {"User-Agent": "headrace-sdk", "Accept": "*/*"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        # field values are written as Latin-1, and servers read this one as UTF-8
        self._why = {MESSAGE_HEADER: message.encode().decode("latin-1")} if message else {}
        self.pool = Pool(self.url, connect_timeout_s=connect_timeout_s, verify=verify)

    def close(self) -> None:
        """Close all connections; open reads fail, and are not retried."""
        self._closing.set()
        for other in tuple(self._others):
            other.close()
        self.pool.close()

    @contextmanager
    def another(self) -> Iterator[Transport]:
        """Return a transport with its own connections, which can be closed without this one; closing this one closes it
        too.
        """
        other = self._alike()
        other._said_slow = self._said_slow  # noqa: SLF001 - one of this class
        if self.sleep != self._pause:
            other.sleep = self.sleep
        self._others.add(other)
        try:
            yield other
        finally:
            self._others.discard(other)
            other.close()

    @property
    def closed(self) -> bool:
        """True once close() was called."""
        return self._closing.is_set()

    def _pause(self, seconds: float) -> None:
        """Wait before a retry. Raises UnreachableError if another thread closes the client meanwhile."""
        if self._closing.wait(seconds):
            raise UnreachableError("the client was closed")

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: BaseModel | None = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        if_match: str | None = None,
        patience_s: float | None = None,
    ) -> Response:
        """Send a request and return its successful response, read. `patience_s`: overrides the transport's. `if_match`: `etag` that
        the thing must have to be changed.

        Generated `content` needs a Content-Length.
        """
        sent = dict(headers or {}) | ({} if method in _SAFE else self._why)
        if if_match is not None:
            sent["If-Match"] = f'"{if_match}"'
        if body is not None:
            # Only what the caller set: the server's own defaults stay in force.
            content = body.model_dump_json(exclude_unset=True).encode()
            sent["Content-Type"] = "application/json"
        target = _target(path, query)

        def once() -> Response:
            # a long upload may be answered late
            with self._translated(path), self._slow(quiet=content is not None and body is None):
                answer = self.pool.send(
                    method, target, content=content, headers=self._headers | sent, timeout_s=self._timeout_s
                )
                _read(answer)
            raise_for_problem(answer)
            return answer

        return self._tried(once, patience_s, safe=method in _SAFE or _IDEMPOTENCY_KEY in sent)

    def one(self, model: type[M], method: str, path: str, **request: Any) -> M:
        """Send a request and return its response as `model`."""
        return parsed(model, self.send(method, path, **request))

    def create(self, model: type[M], path: str, body: BaseModel, *, query: Query | None = None) -> M:
        """Send a creation and return its response as `model`. Repeated with its idempotency key, it creates one thing."""
        return self.one(model, "POST", path, body=body, query=query, headers={_IDEMPOTENCY_KEY: str(uuid4())})

    def items(self, model: type[M], path: str, query: Query | None = None) -> Iterator[M]:
        """Yield the items of all pages, fetching each page when it is needed."""
        cursor: str | None = None
        while True:
            asked = {"limit": _PAGE_ITEMS, **(query or {}), "cursor": cursor}
            page: Page[M] = self.one(Page[model], "GET", path, query=asked)  # type: ignore[valid-type]  # a run-time type
            yield from page.items
            if page.next is None:
                return
            if page.next == cursor:
                raise UnexpectedAnswerError(f"{path}: the list does not end: the same cursor came twice")
            cursor = page.next

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        endless: bool = False,
        silence_s: float | None = None,
        patience_s: float | None = None,
    ) -> Iterator[Response]:
        """Yield the response of a GET with its body unread; `endless` bodies may be silent for any time, others
        for `silence_s` (by default the client's time-out).
        """
        target, sent = _target(path, query), self._headers | dict(headers or {})
        timeout_s = None if endless else silence_s or self._timeout_s

        def once() -> Response:
            with self._translated(path), self._slow():
                answer = self.pool.send("GET", target, headers=sent, timeout_s=timeout_s)
                if not answer.is_success:
                    _read(answer)
            raise_for_problem(answer)
            return answer

        answer = self._tried(once, patience_s, safe=True)
        try:
            with self._translated(path):
                yield answer
        finally:
            answer.close()

    @contextmanager
    def _slow(self, *, quiet: bool = False) -> Iterator[None]:
        """Call `on_wait` once if there is no response after SLOW_S."""
        tell = self.on_wait
        if tell is None or quiet or self._said_slow:
            yield
            return

        def say() -> None:
            self._said_slow = True
            tell(f"no answer from {self.url} yet, waiting up to {self._timeout_s:g} s")

        timer = Timer(SLOW_S, say)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Convert the connection's errors to the SDK's."""
        try:
            yield
        except ConnectFailedError as error:
            raise UnreachableError(
                f"cannot reach {self.url}{path}: {error}", untrusted=error.untrusted, no_tls=error.no_tls
            ) from error
        except (BrokenError, SilentError) as error:
            why = "the client was closed" if self.closed else str(error)
            raise AnswerLostError(f"the answer did not come: {why}") from error

    def _tried(self, once: Callable[[], Response], patience_s: float | None, *, safe: bool) -> Response:
        until = self.clock() + (self._patience_s if patience_s is None else patience_s)
        outage = Outage(self)
        attempt = 0
        while True:
            try:
                return once()
            except (UnreachableError, AnswerLostError) as error:
                broken = isinstance(error, UnreachableError) or isinstance(error.__cause__, BrokenError)
                repeats = safe and broken and attempt < self.retries
                if self.closed or (not repeats and not (may_recover(error) and self.clock() < until)):
                    raise
                outage.seen(error, until)
            self.sleep(0.1 * 3 ** min(attempt, 2))
            attempt += 1


class Outage:
    """Reports an unreachable server that is waited for; once, after a second."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._began: float | None = None
        self._said = False

    def seen(self, error: Exception, until: float) -> None:
        """Record that the server is unreachable, and waited for until then."""
        now = self._transport.clock()
        self._began = now if self._began is None else self._began
        tell = self._transport.on_wait
        if tell is None or self._said or now - self._began < _SAID_AFTER_S:
            return
        self._said = True
        tell(
            f"waiting for the manager at {self._transport.url}, for {max(until - now, 0):.0f} s more at most ({error})"
        )

    def over(self) -> None:
        """Record that the server answers again."""
        self._began, self._said = None, False


def may_recover(error: Exception) -> bool:
    """Return True if nothing was sent and the server may be restarting; False for a wrong name or certificate."""
    if not isinstance(error, UnreachableError):
        return False
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, socket.gaierror | ssl.SSLError):
            return False
        found = found.__cause__ or found.__context__
    return True


def parsed(model: type[M], answer: Response) -> M:
    """Parse the body as `model`. Raises UnexpectedAnswerError."""
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        where = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors(include_input=False)[:3]
        )
        text = f"{answer.method} {answer.path}: the answer is not a {model.__name__} ({where})"
        raise UnexpectedAnswerError(text) from None


def raise_for_problem(answer: Response) -> None:
    """Raise ApiError for an error response, which was read; UnexpectedAnswerError for a redirect."""
    if answer.is_success:
        return
    where = f"{answer.method} {answer.path}"
    if not answer.is_error:
        raise UnexpectedAnswerError(f"{where}: status {answer.status_code}; is this the manager's URL?")
    raise _api_error(answer, where)


def _api_error(answer: Response, where: str) -> HeadraceError:
    try:
        found = json.loads(answer.content)
    except ValueError:  # not JSON, or not text
        found = None
    document = found if isinstance(found, dict) and "title" in found else {}
    errors = document.get("errors")
    title = str(document.get("title") or answer.reason_phrase or "Refused")
    return ApiError(
        type=str(document.get("type", f"http-{answer.status_code}")).removeprefix(_PROBLEM_PREFIX),
        status=answer.status_code,
        title=title,
        detail=str(document.get("detail") or f"{where}: {answer.status_code} {title}"),
        errors=[e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else (),
        document=document,
        retry_after_s=_seconds(answer.headers.get("Retry-After")),
    )


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def _read(answer: Response) -> None:
    """Read the whole body, which frees the connection for the next request."""
    try:
        _ = answer.content
    finally:
        answer.close()


def _target(path: str, query: Query | None) -> str:
    """Return the request target: path and query."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}
    return f"{path}?{urlencode(texts)}" if texts else path
