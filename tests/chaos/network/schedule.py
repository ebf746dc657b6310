"""Rounds of a run on hosts: which links are disturbed, how and for how long. Drawn from a seed, each by itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Kind = Literal["down", "deaf", "mute", "loss", "delay", "paused"]
KINDS: Final[tuple[Kind, ...]] = ("down", "deaf", "mute", "loss", "delay", "paused")
Change = Literal["scale", "rollout"]
HOSTS: Final = ("control", "proxy", "gpu-1", "gpu-2", "callers")
_SHARES: Final = (2, 2, 3, 3, 1)
_TOGETHER: Final = 0.3
"""Share of the rounds with two faults."""
_CHANGES: Final[tuple[Change | None, ...]] = (None, None, None, "scale", "rollout")


@dataclass(frozen=True)
class LinkFault:
    """Disturbance of a host's link, or of the host."""

    kind: Kind
    host: str
    seconds: float
    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0

    def __str__(self) -> str:
        more = f" {self.loss:.0%}" if self.kind == "loss" else ""
        more = f" {self.delay_s * 1000:.0f}+{self.jitter_s * 1000:.0f} ms" if self.kind == "delay" else more
        return f"{self.host} {self.kind}{more} {self.seconds:.0f} s"


@dataclass(frozen=True)
class Round:
    """Faults that begin together, and what is changed of the service meanwhile."""

    number: int
    faults: tuple[LinkFault, ...]
    change: Change | None = None
    change_after_s: float = 0.0

    def __str__(self) -> str:
        return " and ".join([str(fault) for fault in self.faults] + ([self.change] if self.change else []))

    def chance(self, seed: int) -> Random:
        """Return the round's own random generator, for what happens during it."""
        return Random(f"net/{seed}/{self.number}/frames")


def drawn(seed: int, number: int) -> Round:
    """Return this round of the run with this seed."""
    chance = Random(f"net/{seed}/{number}")
    hosts = chance.choices(HOSTS, _SHARES)
    if chance.random() < _TOGETHER:
        hosts.append(chance.choice([host for host in HOSTS if host not in hosts]))
    faults = tuple(_fault(host, chance) for host in hosts)
    change = chance.choice(_CHANGES)
    return Round(number, faults, change, chance.uniform(0.0, min(fault.seconds for fault in faults)))


def _fault(host: str, chance: Random) -> LinkFault:
    # The programs of the callers' host are this run's own.
    kind = chance.choice([kind for kind in KINDS if kind != "paused" or host != "callers"])
    seconds = chance.uniform(2.0, 18.0)
    if kind == "loss":
        return LinkFault(kind, host, seconds, loss=chance.uniform(0.05, 0.3))
    if kind == "delay":
        return LinkFault(kind, host, seconds, delay_s=chance.uniform(0.02, 0.3), jitter_s=chance.uniform(0.0, 0.2))
    return LinkFault(kind, host, seconds)
