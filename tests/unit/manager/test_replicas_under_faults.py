"""Several managers, machines and users at once: faults between observing, deciding and acting, and acts cut in the middle."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.rollout import Rollout
from headrace.manager.domain.lifecycle.replicas import Action, DesiredReplicas, ObservedReplica, Retire, decide
from headrace.manager.domain.lifecycle.states import ACTIVE
from tests.support.effort import examples
from tests.unit.manager.replica_simulation import ReplicaSimulation, Snapshot, revision, rollouts, starting

MANAGERS = st.integers(0, 1)
WHICH = st.integers(0, 50)


def count(have: list[ObservedReplica], wanted: DesiredReplicas) -> int:
    """Replicas that serve or are on their way to."""
    return sum(r.serving or starting(r, wanted) for r in have)


class Managers(RuleBasedStateMachine):
    """Two managers reconcile one service; what they hold in their hands may be stale when they act."""

    def __init__(self) -> None:
        super().__init__()
        self.world = ReplicaSimulation.of(
            DesiredReplicas(goal="running", replicas=2, revision_id=revision(1), drain_grace_s=20), []
        )
        self.revisions = 1
        self.held: dict[int, tuple[Snapshot, list[Action]]] = {}

    def one_of(self, which: int, *statuses: str) -> SessionId | None:
        keys = [r.id for r in self.world.have if r.status in statuses and not r.lost]
        return keys[which % len(keys)] if keys else None

    # Managers

    @rule(manager=MANAGERS)
    def observes_and_decides(self, manager: int) -> None:
        snapshot = self.world.observe()
        self.held[manager] = (snapshot, decide(snapshot.want, snapshot.have, self.world.now))

    @rule(manager=MANAGERS, cut=st.none() | st.integers(0, 4))
    def acts(self, manager: int, cut: int | None) -> None:
        if manager in self.held:
            self._act(*self.held.pop(manager), cut)

    @rule(times=st.integers(1, 4))
    def passes(self, times: int) -> None:
        for _ in range(times):
            snapshot = self.world.observe()
            self._act(snapshot, decide(snapshot.want, snapshot.have, self.world.now), None)

    def _act(self, snapshot: Snapshot, actions: list[Action], cut: int | None) -> None:
        world, wanted = self.world, self.world.want
        serving, made, was = world.serving, len(world.made), wanted
        stale = world.rev != snapshot.rev
        came_back = max(0, count(world.have, wanted) - count(snapshot.have, wanted))
        world.act(snapshot, actions, cut=cut)
        started = len(world.made) - made
        if wanted.goal == "running":
            broke_meanwhile = world.breakages - snapshot.breakages
            given_up = sum(isinstance(a, Retire) and a.reason.code == "made-room-for-update" for a in actions)
            assert given_up <= wanted.max_unavailable
            least = wanted.replicas - (wanted.max_unavailable if given_up else 0)
            assert world.serving >= min(least, serving) - broke_meanwhile
        assert started == 0 or (not stale and wanted.goal == "running")
        of_current = [key for key in world.made[made:] if world.sessions[key].revision_id == was.revision_id]
        assert not of_current or (not was.gave_up and (was.next_start_at is None or world.now >= was.next_start_at))
        of_another = {world.sessions[key].revision_id for key in world.made[made:]} - {was.revision_id}
        assert of_another <= {was.served}
        kept = was.failed_starts or was.gate is not None or was.gave_up
        assert not of_another or wanted.failed_starts or kept
        surge = max(1, wanted.surge, was.surge) + sum(r.idle for r in snapshot.have)
        if kept:  # what is starting of the current revision takes nobody's place any more
            surge += sum(starting(r, was) and r.revision_id == was.revision_id for r in snapshot.have)
        assert started == 0 or count(world.have, wanted) <= wanted.replicas + surge + came_back

    # Machines and app-proxies

    @rule(which=WHICH, times=st.integers(1, 4))
    def a_session_moves_on(self, which: int, times: int) -> None:
        for _ in range(times):
            key = self.one_of(which, "pending", "placed", "running", "draining", "stopping")
            if key is not None:
                self.world.progress(key)

    @rule()
    def all_sessions_move_on(self) -> None:
        for replica in self.world.have:
            if not replica.lost:
                self.world.progress(replica.id)

    @rule(which=WHICH)
    def one_falls_ill(self, which: int) -> None:
        key = self.one_of(which, "running", "draining")
        if key is not None:
            self.world.fault(key, health="unhealthy")

    @rule(which=WHICH)
    def one_gets_well(self, which: int) -> None:
        key = self.one_of(which, "running", "draining")
        if key is not None and not self.world.sessions[key].dead:
            self.world.change(key, health="healthy", was_healthy=True)

    @rule(which=WHICH)
    def an_agent_restarts_and_checks_anew(self, which: int) -> None:
        key = self.one_of(which, "running")
        if key is not None and self.world.sessions[key].health == "healthy":
            self.world.fault(key, health="degraded")

    @rule(which=WHICH, state=st.sampled_from(["exited", "failed"]))
    def one_dies(self, which: int, state: str) -> None:
        key = self.one_of(which, "placed", "running", "draining", "stopping")
        if key is not None:
            self.world.fault(key, kernel_state=state)

    @rule(which=WHICH, many=st.integers(1, 3))
    def a_machine_is_lost(self, which: int, many: int) -> None:
        for offset in range(many):
            key = self.one_of(which + offset, "placed", "running", "draining", "stopping")
            if key is not None:
                self.world.fault(key, lost=True)

    @rule(which=WHICH, many=st.integers(1, 3))
    def a_machine_is_drained(self, which: int, many: int) -> None:
        for offset in range(many):
            key = self.one_of(which + offset, "placed", "running", "draining", "stopping")
            if key is not None:
                self.world.change(key, moving=True)

    @rule()
    def drains_are_cancelled(self) -> None:
        for replica in self.world.have:
            self.world.change(replica.id, moving=False)

    @rule(seconds=st.sampled_from([1, 5, 30, 70]))
    def time_goes_by(self, seconds: int) -> None:
        self.world.now += timedelta(seconds=seconds)

    @rule(which=WHICH, holds=st.sampled_from([0, 1]))
    def one_holds_what_a_new_one_needs(self, which: int, holds: int) -> None:
        key = self.one_of(which, "running")
        if key is not None:
            self.world.change(key, makes_room=bool(holds))

    @rule(which=WHICH, failures=st.integers(0, 3))
    def one_fails_checks(self, which: int, failures: int) -> None:
        key = self.one_of(which, "running")
        if key is not None:
            self.world.change(key, failures=failures)

    # Users

    @rule(replicas=st.integers(0, 6))
    def scaled(self, replicas: int) -> None:
        self.world.ask(replicas=replicas)

    @rule()
    def updated(self) -> None:
        self.revisions += 1
        self.world.ask(revision_id=revision(self.revisions))

    @rule(goal=st.sampled_from(["stopped", "running", "running"]))
    @precondition(lambda self: self.world.want.goal != "deleting")
    def stopped_or_started(self, goal: str) -> None:
        self.world.ask(goal=goal)

    @rule(rollout=rollouts())
    def told_how_to_roll_out(self, rollout: Rollout) -> None:
        self.world.ask(rollout=rollout)

    @rule(which=WHICH)
    def one_is_to_be_replaced(self, which: int) -> None:
        key = self.one_of(which, "placed", "running")
        if key is not None:
            self.world.change(key, moving=True, asked=True)

    @rule()
    @precondition(lambda self: self.world.want.before is not None and not self.world.want.gave_up)
    def paused(self) -> None:
        world = self.world
        there = sum(r.revision_id == world.want.revision_id and r.status in ACTIVE for r in world.have)
        world.ask(state=replace(world.want.state, paused_replicas=there))

    @rule()
    def resumed(self) -> None:
        state = replace(self.world.want.state, paused_replicas=None, step_at=self.world.now)
        self.world.ask(state=state)

    @rule()
    @precondition(lambda self: self.world.want.before is not None and not self.world.want.gave_up)
    def promoted(self) -> None:
        state = self.world.want.state
        self.world.ask(state=replace(state, step=state.step + 1, step_at=self.world.now, paused_replicas=None))

    @rule()
    @precondition(lambda self: self.world.want.before is not None)
    def aborted(self) -> None:
        self.world.ask(revision_id=self.world.want.before)

    @rule()
    @precondition(lambda self: self.world.want.failed_starts > 0 or self.world.want.gave_up)
    def retried(self) -> None:
        state = replace(self.world.want.state, failed=None, step_at=self.world.now)
        again = {"failed_starts": 0, "next_start_at": None, "last_failed_at": None, "state": state}
        self.world.ask(goal=self.world.want.goal, **again)

    # What always holds

    @invariant()
    def each_failed_start_is_counted_once(self) -> None:
        assert len(set(self.world.failed)) == len(self.world.failed)

    @invariant()
    def each_end_is_recorded_once(self) -> None:
        assert len(set(self.world.ended)) == len(self.world.ended)
        assert not set(self.world.ended) & set(self.world.failed)

    @invariant()
    def deciding_twice_on_the_same_gives_the_same(self) -> None:
        seen = self.world.observe()
        assert decide(seen.want, seen.have, self.world.now) == decide(seen.want, seen.have, self.world.now)

    def teardown(self) -> None:
        """Faults end: everything becomes as wanted, and what is started on the way there is kept."""
        world = self.world
        if world.want.gave_up:
            self.retried()
        world.ask(state=replace(world.want.state, step=3, step_at=world.now, paused_replicas=None))
        before = len(world.made)
        for _ in range(400):
            ours = {
                key
                for key in world.made[before:]
                if key in world.sessions and world.sessions[key].revision_id == world.want.revision_id
            }
            for action in world.one_pass():
                assert not (isinstance(action, Retire) and action.id in ours)
            if world.settled():
                return
            for key in list(world.sessions):
                world.progress(key)
            world.now += timedelta(seconds=5)
            if world.want.gave_up:
                self.retried()  # the last of those that had failed before were only counted now
        raise AssertionError(f"not there: {world.want} {world.have}")


TestManagers = Managers.TestCase
TestManagers.settings = settings(max_examples=examples(150), stateful_step_count=50, deadline=None)
