"""Trial runs of a spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

from headrace.common.contracts.http.validations import StartValidation, ValidationView
from headrace.sdk.logs import LogStream
from headrace.sdk.transport import Transport, segment
from headrace.sdk.waiting import polled


class Validations:
    """Client of `/v1/validations`: trial runs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def start(self, body: StartValidation) -> ValidationView:
        """Start a trial run."""
        return self._transport.create(ValidationView, "/v1/validations", body)

    def get(self, validation: UUID | str) -> ValidationView:
        """Return the trial run's current state."""
        return self._transport.one(ValidationView, "GET", _of(validation))

    def logs(
        self, validation: UUID | str, *, follow: bool = False, on_notice: Callable[[str], None] | None = None
    ) -> LogStream:
        """Return an iterator over its log lines; with `follow` until it ends, across lost connections, which are
        reported to `on_notice`.
        """
        return LogStream(
            self._transport, f"{_of(validation)}/logs", {"follow": follow}, follow=follow, on_notice=on_notice
        )

    def stop(self, validation: UUID | str, *, patience_s: float | None = None) -> None:
        """Stop the trial run. `patience_s`: how long to wait for a server that accepts no connections."""
        self._transport.send("DELETE", _of(validation), patience_s=patience_s)

    def wait(
        self,
        validation: UUID | str,
        *,
        timeout_s: float = 600.0,
        every_s: float = 0.5,
        progress: Callable[[ValidationView], None] | None = None,
    ) -> ValidationView:
        """Return the trial run once it is done; its `verdict` is the result. Raises WaitTimeoutError."""
        for found in self.watch(validation, timeout_s=timeout_s, every_s=every_s):
            if progress is not None:
                progress(found)
            if found.done:
                return found
        raise AssertionError("unreachable")

    def watch(
        self, validation: UUID | str, *, timeout_s: float = 600.0, every_s: float = 0.5
    ) -> Iterator[ValidationView]:
        """Yield the trial run every `every_s`; end once it is done. Raises WaitTimeoutError."""
        path = _of(validation)
        seen = polled(
            lambda: self._transport.one(ValidationView, "GET", path, patience_s=0),
            reason=lambda found: found.reason,
            what=f"validation {validation}",
            timeout_s=timeout_s,
            every_s=every_s,
            transport=self._transport,
        )
        for found in seen:
            yield found
            if found.done:
                return


def _of(validation: UUID | str) -> str:
    return f"/v1/validations/{segment(validation)}"
