"""Reads the `model` of a request's body, at any position; or gives the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable

from headrace.appproxy.dataplane.headers.rewrite import field
from headrace.appproxy.dataplane.inspect.form_head import MAX_PARTS, FormHead, boundary
from headrace.appproxy.dataplane.inspect.json_head import JsonHead
from headrace.appproxy.dataplane.inspect.json_search import MAX_MEMBERS, MAX_NAME, JsonSearch
from headrace.appproxy.dataplane.request.body import RequestBody
from headrace.appproxy.dataplane.request.exchange import Exchange
from headrace.appproxy.dataplane.request.model_field import ModelField
from headrace.appproxy.dataplane.request.states import Event
from headrace.common.contracts.reasons.proxy import ModelReason

_MODEL = frozenset({"model"})
_KINDS = "allowed is a JSON object, or multipart/form-data"
_NO_MODEL = "the request names no model: a JSON object or a form needs the field `model`"
_WORDS = {
    ModelReason.MISSING_MODEL: _NO_MODEL,
    ModelReason.NOT_JSON: f"the body is no JSON object; {_KINDS}",
    ModelReason.NOT_A_FORM: "the body is not the multipart/form-data that its Content-Type says",
    ModelReason.TOO_DEEP: "the body is nested too deep to be read",
    ModelReason.REPEATED_MODEL: "the request names its model more than once",
    ModelReason.WRONG_TYPE: "the request's `model` is not a text",
    ModelReason.NAME_TOO_LONG: f"the request's `model` is longer than {MAX_NAME} bytes",
    ModelReason.TOO_MANY_MEMBERS: f"more than {MAX_MEMBERS} members come before `model`",
    ModelReason.TOO_MANY_PARTS: f"more than {MAX_PARTS} parts come before `model`",
    ModelReason.BYTE_ORDER_MARK: "the body begins with a byte order mark, or is no UTF-8; allowed is UTF-8 without one (RFC 8259 section 8.1)",
    ModelReason.COMPRESSED_BODY: f"the body is compressed; {_KINDS}, not compressed",
}
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
"""Magic bytes of gzip, zstd, bzip2 and xz."""
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00{", b"{\x00", b"\x00\x00\x00{")


class ModelReader:
    """Reads the `model` of one request's body as it arrives; calls `then` once the model is known, or `problem` is set.

    Content is buffered until then, so that the service gets all of it: bounded by the proxy's largest body, and by the
    worker's limit for buffered bodies.
    """

    __slots__ = ("_body", "_exchange", "_reader", "_then", "model", "problem", "words")

    def __init__(self, exchange: Exchange, body: RequestBody, then: Callable[[ModelReader], None]) -> None:
        mark = boundary(field(exchange.head, b"content-type"))
        self._exchange = exchange
        self._body = body
        self._reader: JsonHead | FormHead | JsonSearch = JsonHead(_MODEL) if mark is None else FormHead(mark)
        self._then = then
        self.model: str | None = None
        self.problem: ModelReason | None = None
        """Why there is no model."""
        self.words = ""
        """The same in words."""

    def begin(self) -> None:
        """Parse the content that is there, and ask the caller for more if needed. Raises Problem."""
        exchange = self._exchange
        if field(exchange.head, b"content-encoding").strip().lower() not in (b"", b"identity"):
            self._fail(ModelReason.COMPRESSED_BODY)
            return
        exchange.inspect_body = self.feed
        for piece in self._body.pieces():
            self._reader.feed(piece)
        self._settle()
        if exchange.inspect_body is not None:
            exchange.advance(Event.BODY_WANTED)
            exchange.wait_for_body()

    def model_field(self) -> ModelField | None:
        """Return the position of the model in the body; only once it is known."""
        reader = self._reader
        if isinstance(reader, JsonHead):
            search = JsonSearch()
            for piece in self._body.pieces():
                search.feed(piece)
            return ModelField(search.model, search.span, as_json=True) if search.model is not None else None
        return (
            ModelField(reader.model, reader.span, as_json=isinstance(reader, JsonSearch))
            if reader.model is not None
            else None
        )

    def feed(self, content: bytes) -> None:
        """Parse the next content. Raises Problem."""
        self._reader.feed(content)
        self._settle()

    def _settle(self) -> None:
        exchange = self._exchange
        whole = exchange.downstream.request_complete
        if whole:
            self._reader.end()
        if self._reader.done and self._reader.problem == "too-long":
            self._reader = JsonSearch()
            for piece in self._body.pieces():
                self._reader.feed(piece)
            if whole:
                self._reader.end()
        reader = self._reader
        if not reader.done:
            if self._body.full:
                exchange.hold(self._body.size)
            return
        exchange.inspect_body = None
        if reader.model is None:
            self._fail(reader.problem if isinstance(reader.problem, ModelReason) else ModelReason.MISSING_MODEL)
        else:
            self.model = reader.model
            self._then(self)

    def _fail(self, why: ModelReason) -> None:
        begun = b"".join(self._body.pieces()[:2])[:8]
        if why == ModelReason.NOT_JSON and begun.startswith(_COMPRESSED):
            why = ModelReason.COMPRESSED_BODY
        elif why == ModelReason.NOT_JSON and begun.startswith(_MARKS):
            why = ModelReason.BYTE_ORDER_MARK
        self.problem = why
        self.words = _WORDS[why]
        if why == ModelReason.NOT_JSON and isinstance(self._reader, JsonHead):
            self.words += self._reader.where
        self._then(self)
