"""Choosing a replica: only what may serve, in proportion to the weights, evenly."""

from __future__ import annotations

from collections import Counter
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.domain.admission import Refusal, admit, serving
from headrace.appproxy.domain.balance import pick
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import Limits, Route
from tests.unit.appproxy.tables import route, table

routes = st.lists(
    st.tuples(
        st.sampled_from(["healthy", "degraded", "unhealthy"]),
        st.sampled_from(["active", "draining"]),
        st.integers(0, 3).map(lambda w: w * 50),
        st.integers(0, 5),
    ),
    max_size=8,
)


@given(
    world=routes,
    ejected=st.sets(st.integers(1, 8)),
    tried=st.sets(st.integers(1, 8)),
    limit=st.none() | st.integers(1, 4),
    seed=st.integers(),
)
def test_only_what_may_serve_is_chosen(
    world: list[tuple[str, str, int, int]], ejected: set[int], tried: set[int], limit: int | None, seed: int
) -> None:
    made = [route(n, health=h, state=s, weight=w) for n, (h, s, w, _) in enumerate(world, 1)]
    flight = {r.session_id: world[n][3] for n, r in enumerate(made)}
    the_table = table(routes=tuple(made), limits=Limits(max_in_flight_per_replica=limit))
    out = {SessionId(UUID(int=n)) for n in ejected}
    done = {SessionId(UUID(int=n)) for n in tried}
    chosen = admit(the_table, in_flight=flight.__getitem__, ejected=out, tried=done, chance=Random(seed).random)
    able = serving(the_table)
    left = [r for r in able if r.session_id not in done]
    if isinstance(chosen, Route):
        assert chosen.health == "healthy"
        assert chosen.state == "active"
        assert chosen.weight > 0
        assert chosen.session_id not in done
        assert limit is None or flight[chosen.session_id] < limit
        assert chosen.session_id not in out or all(r.session_id in out for r in left)
        return
    assert chosen.status == (503 if not able else 502 if not left else 429)
    if chosen.status == 429:
        within = [r for r in left if r.session_id not in out] or left
        assert all(flight[r.session_id] >= (limit or 0) for r in within)


@given(n=st.integers(2, 8), requests=st.integers(1, 200), seed=st.integers())
def test_requests_that_stay_open_are_spread_evenly(n: int, requests: int, seed: int) -> None:
    chance = Random(seed).random
    made = [route(i) for i in range(1, n + 1)]
    open_on: Counter[SessionId] = Counter()
    for _ in range(requests):
        chosen = pick(made, open_on.__getitem__, chance)
        assert chosen is not None
        open_on[chosen.session_id] += 1
    assert max(open_on.values()) - requests / n <= 4


@pytest.mark.parametrize("concurrency", [1, 2, 10, 60])
@pytest.mark.parametrize("weights", [(90, 10), (1, 1), (100, 100, 50), (3, 0, 1)])
def test_the_observed_split_follows_the_weights_idle_and_busy(weights: tuple[int, ...], concurrency: int) -> None:
    chance = Random(7)
    made = [route(i, weight=w) for i, w in enumerate(weights, 1)]
    seen: Counter[int] = Counter()
    open_now: list[Route] = []
    for _ in range(8000):
        if len(open_now) >= concurrency:
            open_now.pop(chance.randrange(len(open_now)))
        flight = Counter(r.session_id for r in open_now)
        chosen = pick(made, flight.__getitem__, chance.random)
        assert chosen is not None
        open_now.append(chosen)
        seen[chosen.session_id.int] += 1
    for i, weight in enumerate(weights, 1):
        assert seen[i] / 8000 == pytest.approx(weight / sum(weights), abs=0.06), seen


def test_the_choice_does_not_depend_on_the_order_of_the_table() -> None:
    flight = {route(1).session_id: 3, route(2).session_id: 0}
    for order in ((1, 2), (2, 1)):
        made = [route(i) for i in order]
        chosen = {pick(made, flight.__getitem__, lambda at=at: at) for at in (0.0, 0.25, 0.5, 0.99)}  # type: ignore[misc]
        assert {c.session_id.int for c in chosen if c} == {2}


@pytest.mark.parametrize(
    ("made", "wanted", "code"),
    [
        ((), 0, "no-replicas"),
        ((route(1),), 1, ""),
        ((), 2, "starting"),
        ((route(1, health="degraded"),), 1, "starting"),
        ((route(1, health="degraded"), route(2, health="unhealthy")), 2, "starting"),
        ((route(1, health="unhealthy"),), 1, "all-unhealthy"),
        ((route(1, state="draining"),), 1, "starting"),
        ((route(1, weight=0),), 1, "no-weight"),
        ((route(1, state="draining"),), 0, "no-replicas"),
    ],
)
def test_why_nobody_serves(made: tuple[Route, ...], wanted: int, code: str) -> None:
    the_table = table(routes=made, wanted=wanted)
    chosen = admit(the_table, in_flight=lambda _: 0, ejected=(), tried=(), chance=lambda: 0.5)
    assert (chosen.code if isinstance(chosen, Refusal) else "") == code
    assert not isinstance(chosen, Refusal) or (chosen.status == 503 and chosen.retry_after_s > 0)
