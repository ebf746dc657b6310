"""App-proxy → managers: usage of callers, counted by hour."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt

from headrace.common.contracts.ids import ProxyId, RevisionId, ServiceId
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.vocabulary import CallerKind

MAX_ROWS: Final = 2000
"""Rows of one batch; of more there are several."""
Count = Annotated[int, Field(ge=0, le=2**53)]


class UsageRow(Part):
    """Requests of one caller at one revision that began within one hour (UTC)."""

    hour: AwareDatetime
    """Beginning of the hour."""
    service_id: ServiceId
    revision_id: RevisionId | None = None
    """Revision of the replica; None for refused requests."""
    caller: CallerKind
    caller_id: UUID | None = None
    """Token or named client."""
    requests: Count = 0
    """Requests for which a replica was chosen."""
    errors: Count = 0
    """Of these, those that ended in a status of 500 or more, or with an interrupted response."""
    refused: Count = 0
    """Requests of known callers that were refused before that."""
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    estimated_tokens: Count = 0
    """Tokens that limits counted for requests whose response told none."""
    audio_ms: Count = 0
    first_at: AwareDatetime | None = None
    """End of the first of these requests; None from older app-proxies."""
    last_at: AwareDatetime
    """End of the last of these requests."""


class UsageBatch(Message):
    """App-proxy → any manager: what was counted since the batch before. Repeated until a manager has answered.

    Not a whole state, but numbered: managers store each number of a writer once.
    """

    subject: ClassVar = "rpc.manager.usage.{proxy_id}"
    v: Literal[1] = 1
    proxy_id: ProxyId
    writer: UUID
    """Process that counted; numbers begin at 1 in each."""
    sequence: PositiveInt
    rows: Annotated[tuple[UsageRow, ...], Field(max_length=MAX_ROWS)]


class UsageStored(Message):
    """Reply to UsageBatch, after its transaction: it need not be sent again."""

    subject: ClassVar = "_reply"
    v: Literal[1] = 1
    added: NonNegativeInt = 0
    """Rows that this batch added to; 0 if it was stored before."""
