"""Removal of a machine from the installation: whether it may be removed now, with what stands against it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from headrace.common.text.counting import count

_NAMED: Final = 5
"""Services that a refusal names."""


@dataclass(frozen=True)
class Holdings:
    """What runs on a machine or holds slots of it, and whether it reports."""

    sessions: Mapping[str, int]
    """`project/service`, or the kind of a session without a service → number of its live sessions there."""
    holding: int
    """Kernels that hold slots of it, also of sessions that have ended."""
    lost: bool
    silent_s: float


def refusal(agent_id: str, held: Holdings, *, force: bool) -> str | None:
    """Return why the machine cannot be removed; None when it can.

    By force only a machine that is silent: one that reports would be cut off from requests that it answers.
    """
    busy = _busy(held)
    if busy is None:
        return None
    if not held.lost:
        heard = f"{agent_id} reports (last {held.silent_s:.0f} s ago) and {busy}"
        if force:
            return f"{heard}; --force is for machines that are gone. Drain it: headrace agent drain {agent_id} --wait"
        return f"{heard}; drain it first: headrace agent drain {agent_id} --wait"
    if force:
        return None
    return (
        f"{agent_id} has been silent for {held.silent_s:.0f} s and {busy}, as far as is known; if it is gone for good: "
        f"headrace agent remove {agent_id} --force"
    )


def in_words(by: str, at: datetime, reason: str) -> str:
    """Return who removed a machine, when and why, for its agent's log and the manager's."""
    removed = f"{by} removed it from the installation at {at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"{removed}: {reason}" if reason else removed


def _busy(held: Holdings) -> str | None:
    if held.sessions:
        named = [f"{number} of {name}" for name, number in list(held.sessions.items())[:_NAMED]]
        further = len(held.sessions) - len(named)
        more = [count(further, "more service")] if further > 0 else []
        return f"runs {count(sum(held.sessions.values()), 'session')} ({', '.join([*named, *more])})"
    if held.holding:
        return f"still shows {count(held.holding, 'stopped kernel')}"
    return None
