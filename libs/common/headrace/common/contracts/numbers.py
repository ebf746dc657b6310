"""Numbers in documents: JSON's `true` is none, though Python's is 1."""

from __future__ import annotations

from pydantic import BeforeValidator

from headrace.common.contracts.wording import Refused


def _refuse_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise Refused(value, "a whole number")
    return value


NO_TRUTH = BeforeValidator(_refuse_boolean)
"""Refuses booleans beside a Literal of numbers: true equals 1 in Python, but not in JSON."""
