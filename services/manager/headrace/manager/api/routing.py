"""Route declarations: method, path, models and problems of each endpoint, declared once.

The router, the validation of requests and the OpenAPI document are all generated from them, so that they cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from headrace.common.contracts.http import page
from headrace.common.contracts.http.page import Body, Changeable
from headrace.common.contracts.problems import (
    AnswerNotKept,
    Forbidden,
    IdempotencyKeyReused,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    Problem,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from headrace.common.web.request_handler import MAX_FIELD_BYTES
from headrace.manager.api.presented import presented
from headrace.manager.domain.access import Actor
from headrace.manager.domain.console import READING
from headrace.manager.usecases.auth import Presented
from headrace.manager.usecases.facade import UseCases

M = TypeVar("M", bound=BaseModel)
MAX_REVISION = 2_147_483_647
JSON = "application/json"
MAX_HEADER_CHARS = MAX_FIELD_BYTES
"""Longest value of a header field that the server takes."""
_BEFORE_ALL = UUID(int=0)

Reference: TypeAlias = page.Reference
"""Name or id, in a query."""

_PLACE = re.compile(r"\{([a-z_]+)(?::[^{}]*)?\}")


class Query(BaseModel):
    """Query parameters. Unknown ones are refused, so that a mistyped one is not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Paging(Query):
    """Query parameters of a page: cursor and size."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """Most items to return."""
    cursor: UUID | None = None
    """`next` of the page before."""

    @property
    def after(self) -> UUID:
        """Cursor as an id; without a cursor the nil UUID, for lists ordered by id."""
        return self.cursor or _BEFORE_ALL


class Nothing(Query):
    """Empty query parameters."""


@dataclass(frozen=True)
class Header:
    """A request or response header of the declaration."""

    name: str
    description: str
    required: bool = False
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string", "maxLength": MAX_HEADER_CHARS})


@dataclass(frozen=True)
class Reply:
    """A successful answer: JSON of a model, or bytes of a media type, or either as the request says, or nothing."""

    description: str
    model: type[BaseModel] | None = None
    media_type: str | None = None
    headers: Sequence[Header] = ()


@dataclass(frozen=True)
class Call:
    """A validated request: path variables, query, body and caller."""

    request: web.Request
    use: UseCases
    actor: Actor
    _query: BaseModel
    _body: BaseModel | None

    def query(self, model: type[M]) -> M:
        """Return the query parameters as the declared model."""
        assert isinstance(self._query, model)  # noqa: S101 - a declaration and its handler stand side by side
        return self._query

    def body(self, model: type[M]) -> M:
        """Return the body as the declared model."""
        assert isinstance(self._body, model)  # noqa: S101
        return self._body

    @property
    def presented(self) -> Presented:
        """Return what the request presents of who sends it."""
        return presented(self.request)

    def __getitem__(self, name: str) -> str:
        return self.request.match_info[name]


Handler: TypeAlias = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Endpoint:
    """Declaration of one route."""

    method: str
    path: str
    handler: Handler
    tag: str
    replies: Mapping[int, Reply]
    query: type[Query] = Nothing
    body: type[BaseModel] | None = None
    raw_body: str | None = None
    """Media type of a body that the handler reads itself."""
    bytes_allowed: bool = False
    """Whether the handler reads an optional body of bytes."""
    headers: Sequence[Header] = ()
    problems: Sequence[type[Problem]] = ()
    public: bool = False
    any_key: bool = False
    """Whether a read-only key may call it although it is no GET: it changes nothing, or ends the caller's own login."""
    conditional: bool = False
    """Whether it changes a thing that has an entity tag: it takes If-Match."""
    creates: str | None = None
    """Path of what it creates: its variables are the request's own, or fields of the answer. It takes an idempotency key."""

    @property
    def reads(self) -> bool:
        """Whether a read-only key may call it."""
        return self.any_key or self.method in READING

    @property
    def changes(self) -> bool:
        """Whether it changes something in a user's name, so that the user may say why."""
        return not self.public and not self.reads

    @property
    def places(self) -> list[str]:
        """Names of the path's variables."""
        return _PLACE.findall(self.path)

    @property
    def shown_path(self) -> str:
        """Path template as OpenAPI writes it."""
        return _PLACE.sub(r"{\1}", self.path)

    @property
    def tagged(self) -> bool:
        """Whether its answer has an entity tag: it reads JSON."""
        reply = self.replies.get(200)
        return self.method == "GET" and reply is not None and (reply.model is not None or reply.media_type == JSON)

    @property
    def takes_body(self) -> bool:
        """Whether requests may have a body: JSON, or bytes that the handler reads itself."""
        return self.body is not None or self.raw_body is not None or self.bytes_allowed

    @property
    def documentation(self) -> str:
        """Description of the route: the handler's docstring."""
        return (self.handler.__doc__ or "").strip()

    def all_problems(self) -> list[type[Problem]]:
        """Return the declared problems, and those that follow from the rest of the declaration (authentication, validation)."""
        more: list[type[Problem]] = []
        if not self.public:
            more += [Unauthenticated, Unavailable]
            if not self.reads:
                more.append(Forbidden)
        more.append(InvalidRequest)  # unknown query parameters
        if self.places:
            more.append(NotFound)
        if self.body is not None:
            more += [TooLarge]
        if self.takes_body:
            more += [UnsupportedMediaType]
        if self.creates is not None:
            more += [AnswerNotKept, IdempotencyKeyReused]
        if self.conditional:
            more.append(PreconditionFailed)
        return sorted({*self.problems, *more}, key=lambda kind: (kind.status, kind.type))


class Routes:
    """Endpoints of one noun (OpenAPI tag)."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.endpoints: list[Endpoint] = []

    def on(
        self,
        method: str,
        path: str,
        *,
        replies: Mapping[int, Reply],
        query: type[Query] = Nothing,
        body: type[Body] | type[BaseModel] | None = None,
        raw_body: str | None = None,
        bytes_allowed: bool = False,
        headers: Sequence[Header] = (),
        problems: Sequence[type[Problem]] = (),
        public: bool = False,
        any_key: bool = False,
        conditional: bool = False,
        creates: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated handler's route. Its docstring is the route's documentation."""

        def declare(handler: Handler) -> Handler:
            self.endpoints.append(
                Endpoint(
                    method,
                    path,
                    handler,
                    self.tag,
                    replies,
                    query,
                    body,
                    raw_body,
                    bytes_allowed,
                    headers,
                    tuple(problems),
                    public,
                    any_key,
                    conditional,
                    creates,
                )
            )
            return handler

        return declare


def revision_of(call: Call) -> int:
    """Parse the path's {revision}. Raises NotFound for what is no revision number."""
    number = call["revision"]
    if not (number.isascii() and number.isdecimal() and len(number) <= 10 and int(number) <= MAX_REVISION):
        raise NotFound(f"there is no revision {number}; allowed: a number, as the list of revisions says")
    return int(number)


def json_reply(model: BaseModel, *, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    body = model.model_dump_json(warnings=False)  # what was stored under older rules is shown as it is
    tag = model.etag if isinstance(model, Changeable) else ""
    headers = {"ETag": f'"{tag}"'} if tag else {}
    return web.Response(status=status, body=body.encode(), content_type=JSON, headers=headers)


def no_content(**headers: str) -> web.Response:
    """Return an answer without a body."""
    return web.Response(status=204, headers={name.replace("_", "-"): value for name, value in headers.items()})
