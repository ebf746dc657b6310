"""What the SDK itself says while it waits for something."""

from __future__ import annotations

from headrace.common.contracts.reasons import ReasonCode


class WaitReason(ReasonCode):
    """Waiting: of the SDK's WaitFailedError and WaitTimeoutError, if they do not have the reason of the awaited
    resource.
    """

    NOT_FOUND = "not-found", "the awaited resource does not exist"
    SERVER_UNREACHABLE = "server-unreachable", "the management API could not be reached"
    SERVER_FAILING = "server-failing", "the management API answered 5xx"
    CANCELLED = "cancelled", "what was waited for was cancelled"
    RECEIPT_INCOMPLETE = "receipt-incomplete", "not all app-proxies have reported the outcomes of open requests"
