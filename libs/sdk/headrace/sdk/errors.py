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
from headrace.common.contracts.reasons.api import ApiReason


class HeadraceError(Exception):
    """Base of the SDK's errors. `str()` is a sentence for people."""


class ApiError(HeadraceError):
    """The server refused the request. `type` is the stable problem type, for example `not-found`; see
    headrace.common.contracts.problems.

    `errors` are the invalid fields: {field (or path), found, allowed}. `retry_after_s` is set if the server sent
    Retry-After.
    """

    def __init__(
        self,
        *,
        type: str,  # noqa: A002 - name of the problem document's member
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
    def reason(self) -> ApiReason | str | None:
        """Why the server refused, where the type alone does not tell what to do (503, 507): a member of ApiReason, or the
        code as it came if this version does not know it. None: none was given.
        """
        found = self.document.get("reason")
        if not isinstance(found, str):
            return None
        return next((known for known in ApiReason if known == found), found)

    @property
    def request_id(self) -> str | None:
        """Request id, by which the request is found in the server's log."""
        found = self.document.get("request_id")
        return found if isinstance(found, str) else None


class UnreachableError(HeadraceError):
    """The connection to the server failed; nothing was sent. `untrusted`: its certificate was not accepted; `no_tls`: it does not speak TLS."""

    def __init__(self, text: str, *, untrusted: bool = False, no_tls: bool = False) -> None:
        super().__init__(text)
        self.untrusted, self.no_tls = untrusted, no_tls


class AnswerLostError(HeadraceError):
    """The request was sent, but the response was not (fully) received; the server may have processed it."""


class UnexpectedAnswerError(HeadraceError):
    """The server's response is not understood by this version of the SDK."""


class TransferError(HeadraceError):
    """An upload or download could not be completed. An upload is continued with `upload_id`."""

    def __init__(self, text: str, *, upload_id: str | None = None) -> None:
        super().__init__(text)
        self.upload_id = upload_id


class TreeError(HeadraceError):
    """An upload or download of many files is impossible: `str()` says why. Nothing was transferred."""


class WaitFailedError(HeadraceError):
    """The awaited state cannot be reached any more; `reason` is the server's."""

    def __init__(self, text: str, *, reason: Reason) -> None:
        super().__init__(text)
        self.reason = reason


class WaitTimeoutError(HeadraceError):
    """The awaited state was not reached in time; `reason` is the last one seen, or None."""

    def __init__(self, text: str, *, reason: Reason | None = None) -> None:
        super().__init__(text)
        self.reason = reason
