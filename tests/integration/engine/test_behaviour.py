"""Load, queue, faults, callers that leave, and the end of the process."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.engine.conftest import Start
from tests.support.servers import ModelServer
from tests.support.wait import until

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "How does a mill work?"}]}
CHAT = "/v1/chat/completions"
SOON_S = 60.0
"""A Python that starts or ends may take seconds on a loaded machine."""


def counts(engine: ModelServer) -> dict[str, Any]:
    return dict(engine.http.get("/debug/requests").raise_for_status().json())


def change(engine: ModelServer, **values: Any) -> None:
    engine.http.post("/debug/settings", json=values).raise_for_status()


def gauges(engine: ModelServer) -> dict[str, float]:
    families = text_string_to_metric_families(engine.http.get("/metrics").text)
    return {sample.name: sample.value for family in families if family.type == "gauge" for sample in family.samples}


async def ask(engine: ModelServer, **body: Any) -> httpx.Response:
    async with httpx.AsyncClient(verify=False, base_url=engine.url, timeout=60) as http:
        return await http.post(CHAT, json={**ASK, **body})


def test_health_is_503_until_the_load_time_is_over(start: Start) -> None:
    engine = start("--load-s", "600", healthy=False)
    until(lambda: engine.health() is not None)
    assert engine.health() == 503
    refused = engine.http.post(CHAT, json=ASK)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_loading")
    assert refused.headers["retry-after"] == "1"
    change(engine, load_s=0)
    assert engine.health() == 200
    assert engine.http.post(CHAT, json=ASK).status_code == 200


def test_a_caller_who_leaves_a_stream_frees_the_slot_at_once(start: Start) -> None:
    engine = start("--max-running", "1", "--time-per-token-s", "0.05", "--answer-tokens", "4000")
    with engine.http.stream("POST", CHAT, json={**ASK, "stream": True}) as response:
        lines = response.iter_lines()
        next(lines)
        assert (counts(engine)["running"], gauges(engine)["vllm:num_requests_running"]) == (1, 1)
        assert gauges(engine)["vllm:kv_cache_usage_perc"] > 0
    until(lambda: counts(engine)["cancelled"] == 1)
    assert counts(engine)["running"] == 0
    assert gauges(engine)["vllm:num_requests_running"] == 0
    assert 'finished_reason="abort"} 1.0' in engine.http.get("/metrics").text


@pytest.mark.parametrize("flag", ["--hang", "--no-hang"])
def test_callers_who_leave_before_the_first_byte_are_noticed_running_and_waiting(start: Start, flag: str) -> None:
    engine = start("--time-to-first-token-s", "600", "--max-running", "1", flag)
    with _sent(engine):
        until(lambda: counts(engine)["running"] == 1)
        with _sent(engine):
            until(lambda: counts(engine)["waiting"] == 1)
        until(lambda: counts(engine)["waiting"] == 0)
        assert counts(engine)["running"] == 1
    until(lambda: counts(engine)["cancelled"] == 2)
    assert counts(engine)["running"] == 0


async def test_requests_wait_for_a_slot_and_are_refused_when_the_queue_is_full(start: Start) -> None:
    engine = start("--max-running", "2", "--max-waiting", "3", "--hang")
    asked = [asyncio.create_task(ask(engine)) for _ in range(5)]
    await asyncio.to_thread(until, lambda: gauges(engine)["vllm:num_requests_waiting"] == 3)
    assert gauges(engine)["vllm:num_requests_running"] == 2
    refused = await ask(engine)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    change(engine, hang=False)
    assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 5
    assert counts(engine)["finished"] == 5
    assert gauges(engine)["vllm:num_requests_waiting"] == 0


def test_failures_come_at_the_rate_and_with_the_status_that_are_set(engine: ModelServer) -> None:
    change(engine, failure_rate=0.3, failure_status=502)
    codes = [engine.http.post(CHAT, json={**ASK, "max_tokens": 1}).status_code for _ in range(200)]
    assert set(codes) == {200, 502}
    assert 35 <= codes.count(502) <= 85
    assert counts(engine)["failed"] == codes.count(502)
    change(engine, failure_rate=0)
    assert engine.http.post(CHAT, json=ASK).status_code == 200


def test_health_can_be_made_to_fail_and_to_hang(engine: ModelServer) -> None:
    change(engine, fail_health=True)
    assert engine.health() == 503
    change(engine, fail_health=False, hang_health=True)
    with httpx.Client(verify=False, base_url=engine.url, timeout=0.3) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.get("/health")
    change(engine, hang_health=False)
    assert engine.health() == 200


def test_a_stream_can_be_cut(engine: ModelServer) -> None:
    change(engine, cut_after_tokens=2, time_per_token_s=0.01)
    lines: list[str] = []
    with (
        engine.http.stream("POST", CHAT, json={**ASK, "stream": True}) as response,
        pytest.raises(httpx.TransportError),
    ):
        lines.extend(response.iter_lines())
    assert counts(engine)["failed"] == 1
    assert "Traceback" not in engine.log.read_text()


def test_wrong_settings_change_nothing(engine: ModelServer) -> None:
    before = engine.http.get("/debug/settings").json()
    for sent in (b"{", b"[]", b'{"hang": true, "failure_rate": 2}', b'{"hang": true, "nothing": 1}'):
        answer = engine.http.post("/debug/settings", content=sent, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
    assert engine.http.get("/debug/settings").json() == before
    assert engine.http.get("/debug/requests?limit=-1").status_code == 400


def test_debug_can_be_left_out(start: Start) -> None:
    assert start("--no-debug").http.get("/debug/requests").status_code == 404


def test_memory_ballast_is_held_and_let_go(engine: ModelServer) -> None:
    def resident_mib() -> float:
        return int(Path(f"/proc/{engine.process.pid}/statm").read_text().split()[1]) * 4096 / (1 << 20)

    before = resident_mib()
    change(engine, ballast_mib=200)
    assert resident_mib() > before + 190
    change(engine, ballast_mib=0)
    assert resident_mib() < before + 50


def test_it_crashes_when_told_to(engine: ModelServer) -> None:
    change(engine, crash_after_requests=2, crash_exit_code=7)
    assert engine.http.post(CHAT, json=ASK).status_code == 200
    change(engine, answer_tokens=5)  # another setting does not start the countdown again
    with pytest.raises(httpx.TransportError):
        engine.http.post(CHAT, json=ASK)
    assert engine.process.wait(SOON_S) == 7


def test_it_can_crash_at_its_start_and_now(start: Start, engine: ModelServer) -> None:
    assert start("--crash-after-requests", "0", "--crash-exit-code", "3", healthy=False).process.wait(SOON_S) == 3
    change(engine, crash_after_requests=0)
    assert engine.process.wait(SOON_S) == 1


def test_wrong_flags_and_a_taken_port_end_it_with_a_reason(start: Start, engine: ModelServer) -> None:
    wrong = start("--failure-rate", "2", healthy=False)
    assert wrong.process.wait(SOON_S) == 2
    assert "failure_rate: found '2', allowed is 0 to 1" in wrong.log.read_text()
    mistyped = start(env={"HEADRACE_ENGINE_LOAD": "2"}, healthy=False)
    assert mistyped.process.wait(SOON_S) == 2
    taken = start("--port", str(engine.port), healthy=False)
    assert taken.process.wait(SOON_S) == 1
    assert "address already in use" in taken.log.read_text()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_open_requests(start: Start, stop: int) -> None:
    engine = start("--time-per-token-s", "0.05", "--answer-tokens", "20")
    with engine.http.stream("POST", CHAT, json={**ASK, "stream": True}) as response:
        lines = response.iter_lines()
        next(lines)
        engine.process.send_signal(stop)
        until(lambda: _refuses_connections(engine.port))
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert engine.process.wait(SOON_S) == 0


def test_a_stop_does_not_wait_for_ever(start: Start) -> None:
    engine = start("--hang", "--shutdown-grace-s", "0.5")
    failures: list[Exception] = []

    def hang() -> None:
        try:
            httpx.post(f"{engine.url}{CHAT}", json=ASK, timeout=60, verify=False)
        except httpx.TransportError as error:
            failures.append(error)

    caller = threading.Thread(target=hang)
    caller.start()
    until(lambda: counts(engine)["running"] == 1)
    assert engine.stop() == 0
    caller.join(SOON_S)
    assert len(failures) == 1


async def test_the_websocket_echoes_text_and_bytes_and_is_closed_at_the_stop(engine: ModelServer) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{engine.port}/echo") as socket_:
        for message in ("hello", b"\x00\x01", "x" * 100_000):
            await socket_.send(message)
            assert await socket_.recv() == message
        async with websockets.connect(f"ws://127.0.0.1:{engine.port}/echo") as other:
            await other.send("a")
            assert await other.recv() == "a"
        await asyncio.to_thread(until, lambda: counts(engine)["finished"] == 1)
        assert counts(engine)["running"] == 1
        engine.process.send_signal(signal.SIGTERM)
        with pytest.raises(websockets.ConnectionClosedOK) as closed:
            await socket_.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert await asyncio.to_thread(engine.process.wait, SOON_S) == 0


async def test_many_streams_at_once_are_all_finished(start: Start) -> None:
    engine = start("--max-running", "200", "--time-per-token-s", "0.002", "--answer-tokens", "30")

    async def one(http: httpx.AsyncClient) -> str:
        async with http.stream("POST", CHAT, json={**ASK, "stream": True}) as response:
            return [line async for line in response.aiter_lines() if line][-1]

    async with httpx.AsyncClient(
        verify=False, base_url=engine.url, timeout=60, limits=httpx.Limits(max_connections=None)
    ) as http:
        assert await asyncio.gather(*(one(http) for _ in range(300))) == ["data: [DONE]"] * 300
    assert counts(engine)["finished"] == 300


def _sent(engine: ModelServer) -> socket.socket:
    """Return a connection on which a request was sent and nothing was read."""
    connection = socket.create_connection(("127.0.0.1", engine.port))
    connection.sendall(b'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{"prompt":"a"}')
    return connection


def _refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
