"""Webhooks: how deliveries are signed, and what follows of an answer.

Signatures are those of Standard Webhooks (standardwebhooks.com): whoever has a library for these needs no code of ours.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from headrace.manager.domain.records.webhooks import Delivery

MIN_KEY_BYTES: Final = 24
FIRST_RETRY: Final = timedelta(seconds=5)
LONGEST_RETRY: Final = timedelta(hours=1)
KEPT_FOR: Final = timedelta(days=1)
"""An event that could not be delivered for so long is given up."""
GIVES_UP_AFTER: Final = timedelta(days=3)
"""A webhook to which nothing could be delivered for so long is switched off."""
MAX_BODY_BYTES: Final = 256 * 1024
_GONE: Final = 410
_PREFIX: Final = "whsec_"


def key_of(secret: str) -> bytes:
    """Return the key of a secret: what follows `whsec_` in base64, or else its text. Raises ValueError for one that is none."""
    text = secret.strip()
    try:
        key = b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else text.encode()
    except Error:
        raise ValueError("a secret that begins with whsec_ and is no base64") from None
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"a secret of {len(key)} bytes")
    return key


def signature(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of the header `webhook-signature`: one signature for each key, so that keys can be replaced."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(f"v1,{b64encode(hmac.digest(key, signed, sha256)).decode()}" for key in keys)


def body_of(event: Delivery) -> bytes:
    """Return the body of a delivery (`WebhookEvent`); without details and states, where these are too large."""
    body = _body(event, truncated=False)
    return body if len(body) <= MAX_BODY_BYTES else _body(event, truncated=True)


def _body(event: Delivery, *, truncated: bool) -> bytes:
    data = {
        "event_id": str(event.event_id),
        "actor": event.actor,
        "project_id": str(event.project_id),
        "project": event.project,
        "service_id": None if event.service_id is None else str(event.service_id),
        "service": event.service,
        "message": event.message,
        "details": {} if truncated else event.details,
        "before": None if truncated else event.before,
        "after": None if truncated else event.after,
        "truncated": truncated,
    }
    return json.dumps({"type": event.action, "timestamp": event.happened_at.isoformat(), "data": data}).encode()


def retry_in(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row: 5 s, 10 s, 20 s … 1 h."""
    doublings = max(0, min(failures - 1, 20))
    return min(LONGEST_RETRY, FIRST_RETRY * (1 << doublings))


@dataclass(frozen=True)
class After:
    """What follows of a try."""

    done: bool
    """Whether the event needs no further try."""
    dropped: bool
    """Whether it was given up."""
    failures: int
    failing_since: datetime | None
    next_try_at: datetime
    problem: str | None = None
    """Why the webhook is switched off; None: it is not."""


def after(
    *,
    status: int | None,
    error: str | None,
    queued_at: datetime,
    failures: int,
    failing_since: datetime | None,
    now: datetime,
) -> After:
    """Return what follows of an answer (`error`: why it does not count as delivered)."""
    if error is None:
        return After(done=True, dropped=False, failures=0, failing_since=None, next_try_at=now)
    since = failing_since or now
    problem = None
    if status == _GONE:
        problem = "the receiver answered 410: it is gone for good"
    elif now - since >= GIVES_UP_AFTER:
        problem = f"nothing could be delivered since {since:%Y-%m-%dT%H:%M:%SZ}: {error}"
    given_up = now - queued_at >= KEPT_FOR
    return After(
        done=given_up,
        dropped=given_up,
        failures=failures + 1,
        failing_since=since,
        next_try_at=now + retry_in(failures + 1),
        problem=problem,
    )
