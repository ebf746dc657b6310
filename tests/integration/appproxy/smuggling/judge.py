"""Whether what came of a case is what its verdict says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.integration.appproxy.smuggling.case import Answered, Case, Passed, Refused
from tests.integration.appproxy.smuggling.recorder import Got, Heard, Recorder, send
from tests.support.wait import eventually


@dataclass(frozen=True)
class Outcome:
    """What a proxy made of a case."""

    heard: Heard
    own: tuple[Got, ...]
    """Whole requests at the backend, without the canary."""
    canaries: int
    begun: int
    unclean: tuple[str, ...]

    @property
    def bodies(self) -> tuple[bytes, ...]:
        return tuple(got.body for got in self.own)

    @property
    def summary(self) -> str:
        return (
            f"statuses={self.heard.statuses} ended={self.heard.ended} canaries={self.canaries} begun={self.begun} "
            f"unclean={self.unclean} own={[(g.head[:90], g.body[:60]) for g in self.own]} heard={self.heard.data[:160]!r}"
        )


async def outcome(case: Case, port: int, backend: Recorder) -> Outcome:
    """Send `case` to `port` and return what came of it."""
    backend.clear()
    heard = await send(port, case.segments)
    await eventually(lambda: backend.busy == 0, what="a request that was cut off ends at the backend too")
    canaries = sum(got.is_canary for got in backend.got)
    own = tuple(got for got in backend.got if not got.is_canary)
    return Outcome(heard, own, canaries, backend.begun, tuple(backend.unclean))


def faults(case: Case, came: Outcome) -> list[str]:
    """Return what is wrong, nothing if all is as the verdict says."""
    checks: dict[str, bool] = {"the connection did not end": came.heard.ended}
    checks[f"the backend got bytes that can be read in two ways: {came.unclean}"] = not came.unclean
    match case.verdict:
        case Refused():
            checks |= _refused(case.verdict, came)
        case Passed():
            checks |= _passed(case.verdict, came, alone=case.alone)
        case Answered():
            checks |= {
                f"status {came.heard.statuses}": came.heard.statuses[:1] != []
                and came.heard.statuses[0] in case.verdict.status,
                "the backend got something": not came.own and not came.begun,
            }
    return [text for text, good in checks.items() if not good]


def _refused(want: Refused, came: Outcome) -> dict[str, bool]:
    statuses = came.heard.statuses
    good_first = 200 in want.status  # a case whose first request is good
    return {
        f"status {statuses}": bool(statuses) and statuses[-1] in want.status - {200},
        f"{len(statuses)} answers": len(statuses) == 1 + good_first,
        "the canary reached the backend": came.canaries == 0,
        f"{len(came.own)} whole requests reached the backend": len(came.own) == good_first,
        "a request was begun at the backend": want.begun or not came.begun,
    }


def _passed(want: Passed, came: Outcome, *, alone: bool) -> dict[str, bool]:
    head = came.own[0].head.lower() if came.own else b""
    answers = len(want.bodies) + (not alone)
    checks: dict[str, bool] = {
        f"bodies {came.bodies}": came.bodies == want.bodies,
        f"{came.canaries} canaries": came.canaries == (not alone),
        f"statuses {came.heard.statuses}": came.heard.statuses == [200] * answers,
        "a request was begun and not ended": came.begun == 0,
        f"target {came.own[0].target if came.own else b''!r}": not want.target
        or (bool(came.own) and came.own[0].target == want.target),
    }
    found: Callable[[bytes], bool] = head.__contains__
    checks |= {f"{text!r} is missing": found(text) for text in want.present}
    checks |= {f"{text!r} is there": not found(text) for text in want.absent}
    return checks
