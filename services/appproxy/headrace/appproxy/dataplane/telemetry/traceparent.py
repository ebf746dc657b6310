"""W3C Trace Context (https://www.w3.org/TR/trace-context/). Pure: ids are arguments, none is generated here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

SAMPLED: Final = 0x01
_MAX_LENGTH: Final = 128
_MAX_STATE: Final = 512
"""Characters of `tracestate` that must be forwarded at least (section 3.3.1.5); a longer one is dropped."""
_MAX_MEMBERS: Final = 32
_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?\Z").match
_STATE: Final = re.compile(rb"[\x20-\x7e\t]*\Z").match
_MEMBER: Final = re.compile(
    rb"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]\Z"
).match
_ZERO_TRACE: Final = b"0" * 32
_ZERO_SPAN: Final = b"0" * 16


_SHAPES: Final = bytes(0x30 if byte in b"0123456789abcdef" else byte if byte == 0x2D else 0xFF for byte in range(256))
"""For bytes.translate: maps each hexadecimal digit to a zero."""
_SHAPE: Final = b"-".join((b"00", _ZERO_TRACE, _ZERO_SPAN, b"00"))


class TraceParent(NamedTuple):
    """Trace context of a request: trace id, parent span id and flags. Ids are lower-case hexadecimal."""

    trace_id: bytes
    span_id: bytes
    flags: int

    @property
    def sampled(self) -> bool:
        """True if the caller may have recorded the trace."""
        return bool(self.flags & SAMPLED)


def parse(values: Sequence[bytes]) -> TraceParent | None:
    """Parse the `traceparent` fields of a request; None, so that a new trace starts, unless there is exactly one valid
    one.

    Section 3.2.2: version ff and all-zero ids are invalid; in version 00 nothing may follow the flags; in later
    versions something may, after a dash, and only the fields of version 00 are read.
    """
    if len(values) != 1 or len(values[0]) > _MAX_LENGTH:
        return None
    match = _PARENT(values[0])
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == b"ff" or trace_id == _ZERO_TRACE or span_id == _ZERO_SPAN or (version == b"00" and more is not None):
        return None
    return TraceParent(trace_id, span_id, int(flags, 16))


def is_canonical(value: bytes) -> bool:
    """Return True if `write` would reproduce this field exactly, as for nearly all callers; False is no judgement."""
    return (
        value.startswith(b"00-")
        and (value.endswith(b"-01") or value.endswith(b"-00"))  # noqa: PIE810 - a tuple is a slow call, compiled
        and value.translate(_SHAPES) == _SHAPE
        and value[3:35] != _ZERO_TRACE
        and value[36:52] != _ZERO_SPAN
    )


def write(parent: TraceParent) -> bytes:
    """Format a `traceparent` field, in version 00, which has no flag but the sampled one (section 3.2.2.5)."""
    return b"00-%b-%b-%02x" % (parent.trace_id, parent.span_id, parent.flags & SAMPLED)


def state(values: Sequence[bytes]) -> bytes:
    """Return the `tracestate` to forward with a valid parent: the fields joined, or empty if too long or malformed.

    Section 3.3: at most 32 members `key=value`, no key twice, empty members allowed.
    """
    if not values:
        return b""
    joined = b",".join(values)
    if len(joined) > _MAX_STATE or not _STATE(joined):
        return b""
    members = [member for part in joined.split(b",") if (member := part.strip(b" \t"))]
    keys = {member.partition(b"=")[0] for member in members}
    if len(members) > _MAX_MEMBERS or len(keys) < len(members) or not all(map(_MEMBER, members)):
        return b""
    return b",".join(members)


def fields(parent: TraceParent, states: Sequence[bytes]) -> bytes:
    """Return the trace-context fields for a replica, each with its CRLF. `states`: the request's `tracestate` fields."""
    passed = state(states)
    head = b"traceparent: " + write(parent) + b"\r\n"
    return head + b"tracestate: " + passed + b"\r\n" if passed else head
