"""Model field of a body: the place where it names the service, in the place of one of the engine's models."""

from __future__ import annotations

import json

from headrace.appproxy.dataplane.request.body import RequestBody


class ModelField:
    """Where in a body the service is named, in the place of the engine's model: the engine gets a name that it knows."""

    __slots__ = ("_json", "_now", "_own", "_span")

    def __init__(self, own: str, span: tuple[int, int], *, as_json: bool) -> None:
        self._own = self._now = own
        self._span = span
        self._json = as_json

    def apply(self, body: RequestBody, models: tuple[str, ...] | None) -> None:
        """Name in `body` the first of the engine's models, unless it knows the service's name itself, or says nothing."""
        name = self._own if not models or self._own in models else models[0]
        if name == self._now or body.sent == "gone":
            return
        written = json.dumps(name).encode() if self._json else name.encode()
        begin, end = self._span
        body.rename(begin, end, written)
        self._now, self._span = name, (begin, begin + len(written))
