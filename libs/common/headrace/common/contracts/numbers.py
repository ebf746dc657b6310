"""Numbers in documents: JSON's `true` is none, though Python's is 1."""

from __future__ import annotations

from pydantic import BeforeValidator

from headrace.common.contracts.wording import Refused


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise Refused(value, "a whole number")
    return value


NO_TRUTH = BeforeValidator(_no_truth)
"""Beside a Literal of numbers: true is the same as 1 in Python, and none in JSON."""
