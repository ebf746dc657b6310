"""The embedding server: batches, limits, refusals, metrics, start and stop."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.embeddings.conftest import Start, definition_command
from tests.support.servers import ModelServer, model_server
from tests.support.wait import eventually

MODEL = "all-MiniLM-L6-v2"
EMBED = "/v1/embeddings"
LONG = "word " * 250


def samples(server: ModelServer) -> dict[tuple[str, str | None], float]:
    families = text_string_to_metric_families(server.http.get("/metrics").raise_for_status().text)
    return {(s.name, s.labels.get("le") or s.labels.get("code")): s.value for f in families for s in f.samples}


async def flood(server: ModelServer, inputs: list[Any], patience_s: float = 60) -> list[httpx.Response]:
    async with httpx.AsyncClient(
        verify=False, base_url=server.url, timeout=patience_s, limits=httpx.Limits(max_connections=None)
    ) as http:
        return await asyncio.gather(*(http.post(EMBED, json={"model": MODEL, "input": given}) for given in inputs))


async def test_concurrent_requests_are_computed_together_and_each_gets_its_own(server: ModelServer) -> None:
    texts = [f"{'very ' * (number % 7)}long sentence number {number}" for number in range(120)]
    before = samples(server)
    together = await flood(server, texts)
    after = samples(server)
    (batches, computed) = (
        after[f"embeddings_batch_texts_{kind}", None] - before[f"embeddings_batch_texts_{kind}", None]
        for kind in ("count", "sum")
    )
    assert computed == 120
    assert batches <= 60
    alone = server.http.post(EMBED, json={"input": texts[:30]}).json()["data"]
    for number in range(30):
        answer = together[number].json()
        assert answer["data"][0]["embedding"] == pytest.approx(alone[number]["embedding"], abs=1e-5)


async def test_a_list_is_answered_in_its_order_with_its_usage(server: ModelServer) -> None:
    texts = ["b b b", "a", "c " * 100]
    answer = server.http.post(EMBED, json={"model": MODEL, "input": texts}).raise_for_status().json()
    for text, item in zip(texts, answer["data"], strict=True):
        one = server.http.post(EMBED, json={"input": text}).json()["data"][0]["embedding"]
        assert item["embedding"] == pytest.approx(one, abs=1e-5)
    assert answer["usage"] == {"prompt_tokens": 5 + 3 + 102, "total_tokens": 110}
    assert (answer["model"], answer["object"]) == (MODEL, "list")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "the body is not valid JSON"),
        (b"[]", 400, "the body must be a JSON object"),
        ({}, 400, "input must be a string or a list of strings, and not empty"),
        ({"input": []}, 400, "input must be a string or a list of strings, and not empty"),
        ({"input": ""}, 400, r"input[0] must be a string that is not empty"),
        ({"input": ["a", None]}, 400, r"input[1] must be a string that is not empty"),
        ({"input": [1, 2]}, 400, "input must be text: token numbers belong to another model's vocabulary"),
        ({"input": [[1, 2]]}, 400, "input must be text: token numbers belong to another model's vocabulary"),
        ({"input": ["a"] * 257}, 400, "input has 257 texts; the limit is 256"),
        (
            {"input": ["a", "word " * 255]},
            400,
            "input[1] has 257 tokens; the limit is 256 (truncate_prompt_tokens: -1 cuts it)",
        ),
        ({"input": "a", "encoding_format": "hex"}, 400, "encoding_format must be float or base64"),
        ({"input": "a", "dimensions": 256}, 400, "dimensions must be 384; this model has no others"),
        ({"input": "a", "truncate_prompt_tokens": 0}, 400, "truncate_prompt_tokens must be -1 or at least 3"),
        ({"input": "a", "model": "gpt"}, 404, f"The model `gpt` does not exist; this is {MODEL}."),
        (b"x" * (5 << 20), 413, "413: Request Entity Too Large"),
    ],
)
def test_bad_requests_are_refused_with_a_reason(server: ModelServer, body: Any, status: int, reason: str) -> None:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = server.http.post(EMBED, **sent)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, reason)


def test_exactly_the_limit_fits_and_longer_texts_are_cut_on_request(server: ModelServer) -> None:
    fits = server.http.post(EMBED, json={"input": "word " * 254})
    assert fits.json()["usage"]["prompt_tokens"] == 256
    cut = server.http.post(EMBED, json={"input": "word " * 900, "truncate_prompt_tokens": -1})
    assert cut.json()["usage"]["prompt_tokens"] == 256
    assert cut.json()["data"][0]["embedding"] == pytest.approx(fits.json()["data"][0]["embedding"], abs=1e-5)
    short = server.http.post(EMBED, json={"input": "word " * 900, "truncate_prompt_tokens": 7})
    assert short.json()["usage"]["prompt_tokens"] == 7


def test_the_client_lists_the_model_and_understands_refusals(server: ModelServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == [MODEL]
        with pytest.raises(openai.BadRequestError) as refused:
            client.embeddings.create(model=MODEL, input="word " * 300)
        assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "input")
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="other", input="a")


def test_metrics_count_what_was_asked(server: ModelServer) -> None:
    before = samples(server)
    server.http.post(EMBED, json={"input": ["a", "b"]})
    server.http.post(EMBED, json={"input": ""})
    after = samples(server)
    for name, label, by in [
        ("embeddings_requests_total", "200", 1),
        ("embeddings_requests_total", "400", 1),
        ("embeddings_texts_total", None, 2),
        ("embeddings_tokens_total", None, 6),
        ("embeddings_request_seconds_count", None, 2),
        ("embeddings_request_seconds_bucket", "+Inf", 2),
    ]:
        assert after[name, label] - before.get((name, label), 0) == by, name
    assert after["embeddings_waiting_texts", None] == 0


async def test_a_full_queue_answers_429_and_recovers(start: Start) -> None:
    server = start("--max-queue", "4")
    answers = await flood(server, [LONG] * 40)
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "queue_full"
    assert server.http.post(EMBED, json={"input": "a"}).status_code == 200
    assert server.http.post(EMBED, json={"input": ["a"] * 5}).json()["error"]["message"].endswith("the limit is 4")


async def test_a_caller_who_leaves_takes_the_texts_along(start: Start) -> None:
    server = start()
    with pytest.raises(httpx.ReadTimeout):
        await flood(server, [[LONG] * 200], patience_s=0.5)
    await eventually(lambda: samples(server)["embeddings_waiting_texts", None] == 0)
    assert server.http.post(EMBED, json={"input": "a"}).status_code == 200
    assert samples(server)["embeddings_batch_texts_sum", None] < 200


async def test_the_event_loop_stays_free_under_load(start: Start) -> None:
    server = start()
    load = asyncio.create_task(flood(server, [[LONG] * 8] * 4))
    await eventually(lambda: samples(server)["embeddings_waiting_texts", None] > 0)
    answered = 0
    async with httpx.AsyncClient(verify=False, base_url=server.url, timeout=60) as http:
        while not load.done():
            assert (await http.get("/health")).status_code == 200
            answered += 1
    assert answered > 3 * samples(server)["embeddings_batch_texts_count", None], "also while a batch is computed"
    assert {answer.status_code for answer in await load} == {200}


async def test_health_is_503_until_the_model_is_loaded(folder: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        (slow / name).symlink_to(folder / name)
    os.mkfifo(slow / "config.json")  # loading waits here until somebody writes
    with model_server(
        [*definition_command(folder), "--model-path", str(slow)], tmp_path / "slow.log", healthy=False
    ) as server:
        await eventually(lambda: server.health() == 503)
        refused = server.http.post(EMBED, json={"input": "a"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_loading")
        (slow / "config.json").write_bytes((folder / "config.json").read_bytes())
        server.wait_healthy()
        assert server.http.post(EMBED, json={"input": "a"}).status_code == 200


def test_a_model_that_cannot_be_loaded_ends_the_process_with_the_reason(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    shutil.copy(folder / "config.json", broken)
    command = [*definition_command(folder), "--model-path", str(broken)]
    with model_server(command, tmp_path / "broken.log", healthy=False) as server:
        assert server.process.wait(60) == 1
        assert "could not be loaded" in server.log.read_text()


async def test_a_stop_finishes_open_requests(start: Start) -> None:
    server = start()
    asked = asyncio.create_task(flood(server, [[LONG] * 20]))
    await eventually(lambda: samples(server)["embeddings_waiting_texts", None] > 0)
    server.process.terminate()
    (answer,) = await asked
    assert len(answer.json()["data"]) == 20
    assert await asyncio.to_thread(server.process.wait, 10) == 0


async def test_memory_stays_far_below_half_a_gigabyte(start: Start) -> None:
    server = start()
    await flood(server, [[LONG] * 16, ["a"] * 256, [LONG] * 8, *["short text"] * 100])
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (peak_kib,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak_kib < 400 * 1024
