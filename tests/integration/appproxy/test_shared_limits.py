"""Limits over several app-proxies: one real Valkey, exact under concurrency, and local while it is gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from headrace.appproxy.dataplane.ratelimit.limiter import RateLimiter
from headrace.appproxy.dataplane.ratelimit.policy import (
    DAY_S,
    Quota,
    Reservation,
    Usage,
    Verdict,
    charge,
    follow,
    judge,
    settle,
    verdict_of,
)
from headrace.appproxy.dataplane.ratelimit.redis import RedisRateLimiter
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.reasons.proxy import ProxyReason
from headrace.embedded.ports import HOST
from headrace.embedded.stack import EmbeddedServers
from tests.support.facts import facts
from tests.support.ports import free_port
from tests.support.valkey import OwnValkey, own_valkey
from tests.support.wait import eventually


@pytest.fixture
async def redis(servers: EmbeddedServers) -> AsyncIterator[Redis]:
    async with Redis.from_url(servers.redis_url, protocol=2) as opened:
        yield opened


@pytest.fixture
async def two(servers: EmbeddedServers) -> AsyncIterator[list[RedisRateLimiter]]:
    """Two app-proxies; with a timeout that a busy machine keeps."""
    both = [RedisRateLimiter(servers.redis_url, timeout_s=20) for _ in range(2)]
    yield both
    for one in both:
        await one.close()


def caller() -> str:
    return f"{uuid4()}:token:{uuid4()}"


async def at_once(two: list[RedisRateLimiter], name: str, bound: RateLimits, tokens: int, count: int) -> list[Verdict]:
    return await asyncio.gather(*(two[n % 2].reserve(name, bound, tokens) for n in range(count)))


async def test_two_proxies_together_never_pass_the_limit_of_open_requests(two: list[RedisRateLimiter]) -> None:
    name, bound = caller(), RateLimits(in_flight=7)
    open_now = most = 0

    async def request(shared: RedisRateLimiter) -> bool:
        nonlocal open_now, most
        verdict = await shared.reserve(name, bound, 0)
        if verdict.reservation is None:
            assert verdict.code == ProxyReason.CALLER_IN_FLIGHT
            return False
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0)
        open_now -= 1
        await shared.settle(verdict.reservation, None)
        return True

    done = await asyncio.gather(*(request(two[n % 2]) for n in range(300)))
    assert sum(done) >= 7
    assert most <= 7
    assert sum(one.allowed for one in await at_once(two, name, bound, 0, 20)) == 7, "all were given back"


async def test_two_proxies_together_never_pass_rate_and_budget(two: list[RedisRateLimiter]) -> None:
    slow = await at_once(two, caller(), RateLimits(requests_per_second=0.001), 0, 40)
    assert sum(one.allowed for one in slow) == 1
    assert {one.code for one in slow if not one.allowed} == {"request-rate"}
    assert {one.limiter_mode for one in slow} == {"shared"}
    day = await at_once(two, caller(), RateLimits(tokens_per_day=1000), 30, 100)
    assert sum(one.allowed for one in day) == 33
    assert min(one.remaining_tokens for one in day) == 10


async def test_the_budget_settles_exactly(two: list[RedisRateLimiter], redis: Redis) -> None:
    name, bound = caller(), RateLimits(tokens_per_day=1_000_000, tokens_per_minute=1_000_000)
    chance = random.Random(3)
    held = await at_once(two, name, bound, 1000, 100)
    spent = 0
    work = []
    for number, verdict in enumerate(held):
        assert verdict.reservation is not None
        used = chance.choice([None, 0, 999, 5000])
        spent += 1000 if used is None else used
        work += [two[number % 2].settle(verdict.reservation, used) for _ in range(2)]  # safe to repeat
    for one in work:
        await one
    assert int((await redis.hget(f"headrace:limits:{{{name}}}:usage", "used")) or 0) == spent
    assert (await two[0].reserve(name, bound, 0)).remaining_tokens <= 1_000_000 - spent + 1_000_000 * 0.5


async def test_a_replayed_settlement_counts_once(two: list[RedisRateLimiter]) -> None:
    name, bound = caller(), RateLimits(tokens_per_day=1000)
    held = (await two[0].reserve(name, bound, 100)).reservation
    assert held is not None
    for _ in range(3):
        held.open = True  # as if the answer had been lost
        await two[0].settle(held, 300, replayed=True)
    assert (await two[1].reserve(name, bound, 0)).remaining_tokens == 700


async def test_leases_of_a_crashed_proxy_end_and_those_renewed_do_not(servers: EmbeddedServers, redis: Redis) -> None:
    crashed, alive = (RedisRateLimiter(servers.redis_url, timeout_s=20, lease_s=1.0) for _ in range(2))
    name, other, bound = caller(), caller(), RateLimits(in_flight=1)
    assert (await crashed.reserve(name, bound, 0)).allowed
    kept = await alive.reserve(other, bound, 0)
    assert not (await alive.reserve(name, bound, 0)).allowed

    async def ended() -> bool:
        await alive.renew()
        assert not (await crashed.reserve(other, bound, 0)).allowed
        return (await alive.reserve(name, bound, 0)).allowed

    await eventually(ended, what="the lease of the crashed proxy ends")
    await alive.settle(kept.reservation, None)  # type: ignore[arg-type]
    assert (await crashed.reserve(other, bound, 0)).allowed
    await crashed.close()
    await alive.close()


async def test_the_keys_of_a_caller_share_a_slot_and_expire(two: list[RedisRateLimiter], redis: Redis) -> None:
    name = caller()
    held = await two[0].reserve(name, RateLimits(in_flight=2, requests_per_second=5, tokens_per_day=9), 3)
    keys = sorted([key.decode() async for key in redis.scan_iter(match=f"headrace:limits:*{name}*")])
    assert keys == [f"headrace:limits:{{{name}}}:{what}" for what in ("open", "usage")]
    assert all([0 < await redis.pttl(key) <= (DAY_S + 2) * 1000 for key in keys])
    await two[0].settle(held.reservation, 1)  # type: ignore[arg-type]
    assert await redis.exists(keys[0]) == 0
    assert await redis.pttl(keys[1]) > 0


async def test_scripts_that_the_server_forgot_are_loaded_again(two: list[RedisRateLimiter], redis: Redis) -> None:
    await redis.script_flush()
    assert (await two[0].reserve(caller(), RateLimits(in_flight=1), 0)).limiter_mode == "shared"


async def test_a_rate_too_small_to_count_is_judged_by_the_server_too(two: list[RedisRateLimiter]) -> None:
    name, bound = caller(), RateLimits(requests_per_second=5e-324)
    assert (await two[0].reserve(name, bound, 0)).allowed
    refused = await two[1].reserve(name, bound, 0)
    assert (refused.code, refused.limiter_mode) == ("request-rate", "shared")
    assert 99_000 < refused.wait_s <= 100_000


async def test_script_and_python_agree(two: list[RedisRateLimiter], redis: Redis) -> None:
    """The same requests, under limits that change, through the scripts and through ratelimit/policy.py at the times that the server told."""
    name = caller()
    bounds = [
        RateLimits(requests_per_second=300, in_flight=6, tokens_per_minute=6000, tokens_per_day=20_000),
        RateLimits(requests_per_second=40, in_flight=6, tokens_per_minute=90_000, tokens_per_day=20_000),
        RateLimits(requests_per_second=5000, in_flight=6, tokens_per_minute=1000, tokens_per_day=20_000),
    ]
    usage, chance = Usage(), random.Random(11)
    held: list[tuple[Reservation, Reservation]] = []
    verdicts = set()
    for _ in range(400):
        if held and chance.random() < 0.5:
            theirs, ours = held.pop(chance.randrange(len(held)))
            used = chance.choice([None, 0, 40, 150])
            await two[0].settle(theirs, used)
            # Settling upwards asks the clock only where the bucket is full or in debt without end: neither happens here.
            settle(usage, ours, used, now_s=theirs.at_s)
            continue
        tokens = chance.choice([1, 50, 300])
        bound = chance.choice(bounds) if chance.random() < 0.1 else bounds[0]
        quota = Quota(bound)
        found, now_s, unix_s = await _judged(two[0], name, bound, tokens)
        follow(quota, usage, now_s=now_s)
        code, wait_s = judge(quota, usage, tokens, now_s=now_s, unix_s=unix_s)
        if code is None:
            ours = Reservation(name, quota, tokens, now_s, int(unix_s // DAY_S))
            charge(quota, usage, ours, now_s=now_s)
            assert found.reservation is not None
            held.append((found.reservation, ours))
        mine = verdict_of(quota, usage, code, wait_s, now_s=now_s, unix_s=unix_s, limiter_mode="shared")
        mine.reservation = found.reservation
        assert found.wait_s == pytest.approx(mine.wait_s, abs=1e-3)
        mine.wait_s = found.wait_s
        assert facts(found) == facts(mine)
        verdicts.add(code)
    assert {None, "caller-in-flight"} <= verdicts
    assert verdicts & {"token-rate", "token-budget"}


async def test_a_changed_limit_holds_for_the_next_request(two: list[RedisRateLimiter]) -> None:
    name, slow, fast = caller(), RateLimits(requests_per_second=0.001), RateLimits(requests_per_second=1000)
    assert (await two[0].reserve(name, slow, 0)).allowed
    refused = await two[1].reserve(name, slow, 0)
    assert refused.wait_s > 900
    assert (await two[1].reserve(name, fast, 0)).allowed
    few, many = RateLimits(tokens_per_minute=10), RateLimits(tokens_per_minute=10_000)
    held = (await two[0].reserve(name, few, 10)).reservation
    assert held is not None
    await two[0].settle(held, 100)
    assert (await two[0].reserve(name, few, 1)).code == ProxyReason.TOKEN_RATE
    found = await two[1].reserve(name, many, 1)
    assert found.allowed
    assert 9890 <= found.remaining_tokens <= 9910


async def _judged(shared: RedisRateLimiter, name: str, bound: RateLimits, tokens: int) -> tuple[Verdict, float, float]:
    """Reserve, and return also the server's two clocks at that moment."""
    seen: list[Any] = []
    script = shared.reserve_script

    async def listening(**arguments: Any) -> Any:
        seen.append(await script(**arguments))
        return seen[-1]

    shared.reserve_script = listening  # type: ignore[assignment]
    try:
        verdict = await shared.reserve(name, bound, tokens)
    finally:
        shared.reserve_script = script
    return verdict, float(seen[0][1]), float(seen[0][2])


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[OwnValkey]:
    async with own_valkey(tmp_path / "valkey") as server:
        yield server


async def test_the_documented_user_may_do_all_that_is_needed_and_nothing_else(own: OwnValkey) -> None:
    """Scripts that the server does not know yet, too; the rule is the one that operators copy."""
    page = (Path(__file__).parents[3] / "docs/caller-limits.md").read_text()
    rule = next(line for line in page.splitlines() if line.startswith("ACL SETUSER "))
    async with Redis.from_url(own.url) as admin:
        await admin.execute_command(*rule.replace("PASSWORD", "theirs").split())  # type: ignore[no-untyped-call]
    url = own.url.replace("//:secret@", "//headrace-limits:theirs@")
    limits = RedisRateLimiter(url, timeout_s=20)
    bound = RateLimits(requests_per_second=100, in_flight=9, tokens_per_minute=900, tokens_per_day=900)
    held = await limits.reserve(caller(), bound, 10)
    assert held.reservation is not None
    await limits.renew()
    assert await limits.answers()
    await limits.settle(held.reservation, 20)
    await limits.close()
    async with Redis.from_url(url) as theirs:
        for command in (("KEYS", "*"), ("GET", "headrace:limits:x"), ("HMGET", "other", "x"), ("FLUSHALL",)):
            with pytest.raises(NoPermissionError):
                await theirs.execute_command(*command)  # type: ignore[no-untyped-call]


async def shared_again(limits: RateLimiter) -> None:
    await eventually(lambda: limits.limiter_mode == "shared", what="limits are shared again")


async def test_a_stalled_valkey_is_judged_without_and_found_again(own: OwnValkey) -> None:
    limits = RateLimiter(own.url, divided_by=2, timeout_s=2, retry_s=0.05)
    name, bound = caller(), RateLimits(in_flight=4, tokens_per_day=1000)
    try:
        before = [await limits.reserve(name, bound, 100) for _ in range(3)]
        assert {one.limiter_mode for one in before} == {"shared"}
        own.stall()
        during = await asyncio.gather(*(limits.reserve(name, bound, 100) for _ in range(5)))
        assert {one.limiter_mode for one in during} == {"local"}
        assert b"x-headrace-limits: local\r\n" in during[0].fields
        assert sum(one.allowed for one in during) == 2, "half of four: its part, counted from nothing"
        assert limits.limiter_mode == "local"
        await limits.settle(before[0].reservation, 50)
        await limits.settle(before[1].reservation, None)
        for one in during:
            await limits.settle(one.reservation, 7)
        own.go_on()
        await shared_again(limits)
        after = await limits.reserve(name, bound, 0)
        assert b"x-headrace-limits: shared\r\n" in after.fields
        # What ended meanwhile was settled, and what timed out half done was given back: 50 + 100 + the open 100.
        assert after.remaining_tokens == 750
        more = [await limits.reserve(name, bound, 0) for _ in range(3)]
        assert [one.allowed for one in more] == [True, True, False], "one open from before, and three more"
    finally:
        await limits.close()


async def test_a_killed_valkey_is_judged_without_and_found_again(own: OwnValkey) -> None:
    limits = RateLimiter(own.url, timeout_s=20, retry_s=0.05)
    name, bound = caller(), RateLimits(in_flight=2)
    try:
        first = await limits.reserve(name, bound, 0)
        assert first.limiter_mode == "shared"
        await own.kill()
        during = await limits.reserve(name, bound, 0)
        assert (during.allowed, during.limiter_mode) == (True, "local")
        await limits.settle(during.reservation, None)
        await own.start()
        await shared_again(limits)
        second = await limits.reserve(name, bound, 0)
        assert (second.allowed, second.limiter_mode) == (True, "shared")
        assert (await limits.reserve(name, bound, 0)).code == ProxyReason.CALLER_IN_FLIGHT, (
            "the first one is open still"
        )
        await limits.settle(first.reservation, None)
        assert (await limits.reserve(name, bound, 0)).allowed
    finally:
        await limits.close()


async def test_with_nobody_there_from_the_start_it_serves() -> None:
    limits = RateLimiter(f"redis://{HOST}:{free_port()}/0", retry_s=0.05)
    verdict = await limits.reserve("a", RateLimits(in_flight=1), 0)
    assert (verdict.allowed, verdict.limiter_mode) == (True, "local")
    await limits.settle(verdict.reservation, None)
    await limits.close()
