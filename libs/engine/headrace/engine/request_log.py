"""Log of requests and their outcomes, for GET /debug/requests, so that tests see what reached the engine."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Literal

State = Literal["waiting", "running", "finished", "failed", "cancelled"]
_KEPT = 1_000
_SHOWN_HEADERS = ("host", "x-request-id", "x-real-ip", "forwarded", "user-agent")
_HEADER_CHARS = 256


@dataclass
class Entry:
    """One request. Times are seconds: `started_at` since the epoch, `seconds` from arrival to end (or to now)."""

    id: int
    path: str
    model: str
    stream: bool
    started_at: float
    headers: dict[str, str]
    state: State = "waiting"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    began: float = field(default=0.0, repr=False)


class RequestLog:
    """Open requests, the last thousand ended ones, and counters by outcome."""

    def __init__(self, *, wall: Callable[[], float], clock: Callable[[], float]) -> None:
        self._wall = wall
        self._clock = clock
        self._started = 0
        self._open: dict[int, Entry] = {}
        self._ended: deque[Entry] = deque(maxlen=_KEPT)
        self._ends: Counter[State] = Counter()

    @property
    def held_tokens(self) -> int:
        """Tokens of all running requests, which a KV cache would hold."""
        return sum(e.prompt_tokens + e.completion_tokens for e in self._open.values() if e.state == "running")

    @contextmanager
    def entry(self, path: str, *, model: str, stream: bool, headers: Mapping[str, str]) -> Iterator[Entry]:
        """Record a request for as long as the block runs.

        Its outcome is finished; cancelled if the caller disconnected or the engine was stopped; failed on any other
        error.
        """
        self._started += 1
        entry = Entry(
            id=self._started,
            path=path,
            model=model,
            stream=stream,
            started_at=self._wall(),
            headers=_shown(headers),
            began=self._clock(),
        )
        self._open[entry.id] = entry
        state: State = "failed"
        try:
            yield entry
            state = "finished"
        except (asyncio.CancelledError, ConnectionError):
            state = "cancelled"
            raise
        finally:
            entry.state = state
            entry.seconds = self._clock() - entry.began
            del self._open[entry.id]
            self._ended.append(entry)
            self._ends[state] += 1

    def view(self, limit: int) -> dict[str, object]:
        """Return the counters and the newest `limit` requests, oldest first. started = all the others together."""
        states = Counter(entry.state for entry in self._open.values())
        now = self._clock()
        for entry in self._open.values():
            entry.seconds = now - entry.began
        newest = sorted([*self._ended, *self._open.values()], key=lambda e: e.id)[-limit:] if limit else []
        return {
            "started": self._started,
            "finished": self._ends["finished"],
            "failed": self._ends["failed"],
            "cancelled": self._ends["cancelled"],
            "running": states["running"],
            "waiting": states["waiting"],
            "requests": [{k: v for k, v in asdict(e).items() if k != "began"} for e in newest],
        }


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that show the request's path through proxies; of credentials only that they are present."""
    shown = {
        name.lower(): value[:_HEADER_CHARS]
        for name, value in headers.items()
        if name.lower() in _SHOWN_HEADERS or name.lower().startswith("x-forwarded-")
    }
    return shown | {name: "present" for name in ("authorization", "cookie") if name in headers}
