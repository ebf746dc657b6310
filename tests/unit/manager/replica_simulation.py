"""Simulation of one service in which decisions about replicas come true: sessions, kernels, machines, app-proxies, a clock."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import assume
from hypothesis import strategies as st

from headrace.common.contracts.ids import RevisionId, SessionId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.rollout import CanaryStep, Rollout, contradiction
from headrace.manager.domain.lifecycle.replicas import (
    Action,
    Advance,
    Create,
    DesiredReplicas,
    Ended,
    Failed,
    FailRollout,
    ObservedReplica,
    Recovered,
    Retire,
    Reveal,
    RollBack,
    Served,
    decide,
)
from headrace.manager.domain.lifecycle.states import TRANSITIONS
from headrace.manager.domain.records.rollouts import RolloutState

START = datetime(2026, 1, 1, tzinfo=UTC)
SHARES = st.sampled_from([0, 1, 2, "0%", "25%", "50%", "100%"])


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    """Rollout settings that do not contradict each other."""
    found = Rollout(
        strategy=draw(st.sampled_from(["rolling", "rolling", "canary", "blue-green"])),
        max_surge=draw(SHARES),
        max_unavailable=draw(SHARES),
        min_ready_s=draw(st.sampled_from([0, 0, 20])),
        progress_deadline_s=draw(st.sampled_from([60, 1800])),
        on_failure=draw(st.sampled_from(["keep", "roll-back"])),
        steps=draw(st.lists(STEPS, min_size=1, max_size=3).map(tuple)),
        auto_promote=draw(st.booleans()),
    )
    assume(contradiction(found) is None)
    return found


STEPS = st.builds(CanaryStep, replicas=st.sampled_from([1, 3, "1%", "50%"]), pause_s=st.sampled_from([None, 0, 30]))
WHY = Reason(code="it-said", text="what the machine says")


def revision(number: int) -> RevisionId:
    return RevisionId(UUID(int=number))


def session(number: int) -> SessionId:
    return SessionId(UUID(int=10_000 + number))


def seen(number: int = 1, *, of: int = 1, age_s: float = 100.0, now: datetime = START, **facts: Any) -> ObservedReplica:
    """A healthy replica of revision `of`, `age_s` old, but for `facts`."""
    healthy = ObservedReplica(
        id=session(number),
        revision_id=revision(of),
        status="running",
        health="healthy",
        was_healthy=True,
        kernel_state="running",
        reason=WHY,
        created_at=now - timedelta(seconds=age_s),
    )
    return replace(healthy, **facts)


def loading(number: int = 1, **facts: Any) -> ObservedReplica:
    return seen(number, **{"health": "degraded", "was_healthy": False, **facts})


def pending(number: int = 1, **facts: Any) -> ObservedReplica:
    return loading(number, **{"status": "pending", "kernel_state": None, **facts})


def ill(number: int = 1, **facts: Any) -> ObservedReplica:
    return seen(number, **{"health": "unhealthy", **facts})


def starting(replica: ObservedReplica, want: DesiredReplicas) -> bool:
    """Counts towards the wanted number without serving yet."""
    return (
        replica.status in {"pending", "placed", "running"}
        and replica.revision_id in {want.revision_id, want.served}
        and not replica.ill
        and not replica.serving
    )


@dataclass
class Snapshot:
    """What one pass observed."""

    want: DesiredReplicas
    have: list[ObservedReplica]
    rev: int
    revs: dict[SessionId, int]
    breakages: int


@dataclass
class ReplicaSimulation:
    """One service and everything around it. `rev`s guard writes as the database does."""

    want: DesiredReplicas
    sessions: dict[SessionId, ObservedReplica] = field(default_factory=dict)
    revs: dict[SessionId, int] = field(default_factory=dict)
    rev: int = 1
    now: datetime = START
    made: list[SessionId] = field(default_factory=list)
    failed: list[SessionId] = field(default_factory=list)
    ended: list[SessionId] = field(default_factory=list)
    breakages: int = 0
    """Serving replicas that the world, not an action, took out of service so far."""
    room: int | None = None
    """How many sessions the machines hold; None: any number."""

    @classmethod
    def of(cls, want: DesiredReplicas, have: list[ObservedReplica], **facts: Any) -> ReplicaSimulation:
        return cls(want, {r.id: r for r in have}, {r.id: 1 for r in have}, **facts)

    # What is seen

    @property
    def have(self) -> list[ObservedReplica]:
        return list(self.sessions.values())

    @property
    def serving(self) -> int:
        return sum(r.serving for r in self.have)

    def observe(self) -> Snapshot:
        return Snapshot(self.want, self.have, self.rev, dict(self.revs), self.breakages)

    # What managers do

    def act(self, snapshot: Snapshot, actions: list[Action], *, cut: int | None = None) -> None:
        """Apply the first `cut` actions, if neither the service nor any of its sessions has changed since `snapshot`."""
        if self.rev != snapshot.rev or self.revs != snapshot.revs or not actions:
            return
        self.rev += 1
        for action in actions[:cut]:
            self._apply(snapshot, action)

    def _apply(self, snapshot: Snapshot, action: Action) -> None:
        match action:
            case Create(revision_id, idle):
                number = len(self.made) + 1000
                new = pending(number, age_s=0, now=self.now, revision_id=revision_id, idle=idle)
                self.sessions[new.id], self.revs[new.id] = new, 1
                self.made.append(new.id)
            case Retire(id, status, reason, deadline):
                assert status in TRANSITIONS[self.sessions[id].status]
                if status == "ended":
                    del self.sessions[id], self.revs[id]
                else:
                    self.change(id, status=status, reason=reason, drain_deadline=deadline)
            case Failed(id, _, failed_starts, next_start_at, fresh):
                self.failed.append(id)
                self.want = replace(self.want, failed_starts=failed_starts, next_start_at=next_start_at)
                if fresh:
                    self.want = replace(self.want, last_failed_at=self.now)
            case Ended(id, _, ends, held, next_restart_at, counted):
                self.ended.append(id)
                if counted:
                    facts = {"ends": ends, "held": held, "next_restart_at": next_restart_at, "last_end_at": self.now}
                    self.want = replace(self.want, **facts)  # type: ignore[arg-type]  # one of each
            case Recovered():
                state = replace(self.want.state, failed=None)
                self.want = replace(self.want, failed_starts=0, next_start_at=None, state=state)
            case Served(revision_id):
                self.want = replace(self.want, served=revision_id)
            case RollBack(revision_id):
                want = replace(self.want, revision_id=revision_id, failed_starts=0, next_start_at=None)
                self.want = replace(want, state=RolloutState())
            case FailRollout(reason):
                self.want = replace(self.want, state=replace(self.want.state, failed=reason, failed_at=self.now))
            case Advance(step):
                self.want = replace(self.want, state=replace(self.want.state, step=step, step_at=self.now))
            case Reveal(ids):
                for key in ids:
                    self.change(key, idle=False)

    def one_pass(self) -> list[Action]:
        """Observe, decide and act without anything in between."""
        snapshot = self.observe()
        actions = decide(snapshot.want, snapshot.have, self.now)
        self.act(snapshot, actions)
        return actions

    # What users do

    def ask(self, **changes: object) -> None:
        """A user changes what is wanted; a new revision or a retry forgets failed starts.

        With a new revision the one before it is noted as the one that served, if it is the only one that serves.
        """
        if "revision_id" in changes and {r.revision_id for r in self.have if r.serving} == {self.want.revision_id}:
            changes["served"] = self.want.revision_id
        if "revision_id" in changes or changes.get("goal") == "running":
            changes |= {"failed_starts": 0, "next_start_at": None, "last_failed_at": None}
            changes |= {"ends": 0, "held": 0, "next_restart_at": None, "state": replace(self.want.state, failed=None)}
        if "revision_id" in changes:
            changes |= {"state": RolloutState(began_at=self.now, step_at=self.now)}
        self.want = replace(self.want, **changes)  # type: ignore[arg-type]  # test facts
        self.rev += 1

    # What machines and proxies do

    def change(self, key: SessionId, **facts: Any) -> None:
        self.sessions[key] = replace(self.sessions[key], **facts)
        self.revs[key] += 1

    def fault(self, key: SessionId, **facts: Any) -> None:
        """As change(), for what goes wrong."""
        before = self.sessions[key].serving
        self.change(key, **facts)
        self.breakages += before and not self.sessions[key].serving

    def place(self, key: SessionId) -> None:
        held = sum(r.status != "pending" for r in self.have)
        if self.room is None or held < self.room:
            self.change(key, status="placed", placed_at=self.now)

    def progress(self, key: SessionId) -> None:
        """What happens next to a session when nothing goes wrong. The ill stay ill."""
        replica = self.sessions[key]
        match replica.status:
            case "pending":
                self.place(key)
            case "placed" if not replica.dead:
                self.change(key, status="running", kernel_state="running")
            case "running" if replica.health == "degraded" and not replica.dead:
                self.change(
                    key,
                    kernel_state="running",
                    health="healthy",
                    was_healthy=True,
                    healthy_at=replica.healthy_at or self.now,
                )
            case "draining":
                self.change(key, released=True)
            case "stopping":
                del self.sessions[key], self.revs[key]

    def settled(self) -> bool:
        """Whether everything is as wanted and nothing remains to be done."""
        wanted = self.want.replicas if self.want.goal == "running" else 0
        good = [r for r in self.have if r.serving and r.revision_id == self.want.revision_id]
        moved = not any(r.moving for r in self.have)
        return moved and len(good) == wanted == len(self.have) and decide(self.want, self.have, self.now) == []
