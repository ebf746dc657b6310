"""Everything that the SDK raises.

HeadraceError
├── ApiError               the server refused; carries the problem (RFC 9457)
├── UnreachableError       no connection came about: nothing was sent
├── AnswerLostError        the connection broke or was silent after sending: it may have been done all the same
├── UnexpectedAnswerError  an answer that this SDK does not understand
├── TransferError          an upload or download could not be completed
├── TreeError              a tree of files that cannot be transferred as it was asked for; nothing was
├── WaitFailedError        what was waited for cannot come any more
└── WaitTimeoutError       what was waited for did not come in time
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.common.contracts.reasons import Reason


class HeadraceError(Exception):
    """Root of the SDK's errors. `str()` is a sentence for people."""


class ApiError(HeadraceError):
    """The server refused. `type` is the stable problem type, for example `not-found`; see headrace.common.contracts.problems.

    `errors` are the wrong fields: {field (or path), found, allowed}. `retry_after_s` is set when the server said when to come back.
    """

    def __init__(
        self,
        *,
        type: str,  # noqa: A002 - the problem document's word
        status: int,
        title: str,
        detail: str,
        errors: Sequence[Mapping[str, Any]] = (),
        document: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.type = type
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.document = dict(document or {})
        self.retry_after_s = retry_after_s

    @property
    def request_id(self) -> str | None:
        """The id that finds the request in the server's log."""
        found = self.document.get("request_id")
        return found if isinstance(found, str) else None


class UnreachableError(HeadraceError):
    """No connection to the server came about; nothing was sent."""


class AnswerLostError(HeadraceError):
    """The request was sent, its (whole) answer did not come; the server may have done it."""


class UnexpectedAnswerError(HeadraceError):
    """The server answered with something that this version of the SDK does not understand."""


class TransferError(HeadraceError):
    """An upload or download could not be completed. `upload_id` continues an upload later."""

    def __init__(self, text: str, *, upload_id: str | None = None) -> None:
        super().__init__(text)
        self.upload_id = upload_id


class TreeError(HeadraceError):
    """What was asked of an upload or download of many files cannot be: `str()` says what was found. Nothing was moved."""


class WaitFailedError(HeadraceError):
    """What was waited for cannot come any more; `reason` is the server's."""

    def __init__(self, text: str, *, reason: Reason) -> None:
        super().__init__(text)
        self.reason = reason


class WaitTimeoutError(HeadraceError):
    """What was waited for did not come in time; `reason` says how things stood last, None if nothing was seen."""

    def __init__(self, text: str, *, reason: Reason | None = None) -> None:
        super().__init__(text)
        self.reason = reason
