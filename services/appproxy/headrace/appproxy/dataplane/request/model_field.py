"""Model field of a body: replaces the service's name by the engine's own model name."""

from __future__ import annotations

import json

from headrace.appproxy.dataplane.request.body import RequestBody


class ModelField:
    """Position of the service's name in a body's `model`, to be replaced by the engine's own model name."""

    __slots__ = ("_json", "_now", "_own", "_span")

    def __init__(self, own: str, span: tuple[int, int], *, as_json: bool) -> None:
        self._own = self._now = own
        self._span = span
        self._json = as_json

    def apply(self, body: RequestBody, models: tuple[str, ...] | None) -> None:
        """Replace the service's name in `body` by the engine's first model name.

        Nothing is replaced if the engine lists the service's name itself, or lists nothing.
        """
        name = self._own if not models or self._own in models else models[0]
        if name == self._now or body.sent == "gone":
            return
        written = json.dumps(name).encode() if self._json else name.encode()
        begin, end = self._span
        body.rename(begin, end, written)
        self._now, self._span = name, (begin, begin + len(written))
