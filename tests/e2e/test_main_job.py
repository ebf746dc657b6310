"""A model folder becomes a service that answers, on both runtimes: the seed's example and a real embedding model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest
import pytest_asyncio

from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

ROOT = Path(__file__).parents[2]
SEED = ROOT / "examples" / "simple-http-server"


async def _serve_the_seeds_simple_http_server(stack: Stack) -> None:
    """initial_delay is 60 s: until then the service is not healthy, and says why."""
    api = stack.api
    await api.folder_from("simple", SEED)
    created = await api.call("POST", "/v1/services", stack.spec("simple", folder="simple", open_to_public=True))
    assert created["phase"] == "deploying"

    async def waiting_with_a_reason() -> bool:
        seen = await api.service("simple")
        assert seen["replica_list"]
        replica = seen["replica_list"][0]
        assert seen["status"] == "unhealthy"
        assert (replica["kernel_state"], replica["health"]) == ("running", "degraded"), replica
        assert replica["reason"]["code"] == "initial-delay"
        return True

    await eventually(waiting_with_a_reason)
    url = f"{stack.proxy}/simple/"
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        # Held in the queue for its 30 s: a replica is on its way. It takes longer than that, which the answer says.
        early = await client.get(url)
        assert early.status_code == 503
        assert early.json()["reason"]
        await api.until_healthy("simple", replicas=1, within_s=90)
        assert "Directory listing" in (await client.get(url)).text
        lines = await api.http.get("/v1/services/simple/logs?tail=2000")
        assert "GET / HTTP" in lines.text
        await api.remove("simple")

        async def forgotten() -> bool:
            return (await client.get(url)).status_code == 404  # 503 until the app-proxy has heard of it

        await eventually(forgotten)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def begun() -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """What was begun on each runtime."""
    tasks: dict[str, asyncio.Task[None]] = {}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def simple_http_server(any_stack: Stack, begun: dict[str, asyncio.Task[None]]) -> asyncio.Task[None]:
    """The seed's example, begun before the first test of this file: its minute passes beside the other tests."""
    if any_stack.runtime not in begun:
        begun[any_stack.runtime] = asyncio.create_task(_serve_the_seeds_simple_http_server(any_stack))
    return begun[any_stack.runtime]


async def test_a_real_embedding_model_through_the_openai_client(any_stack: Stack, embedding_folder: Path) -> None:
    api = any_stack.api
    await api.folder_from("minilm", embedding_folder)
    await api.call(
        "POST", "/v1/services", any_stack.spec("minilm", folder="minilm", replicas=2, image=any_stack.python_image)
    )
    seen = await api.until_healthy("minilm", replicas=2, within_s=90)
    token = (await api.token("minilm", expires_in_s=600))["token"]
    client = openai.OpenAI(base_url=f"{seen['endpoint']}/v1", api_key=token, timeout=20, max_retries=0)
    answer = client.embeddings.create(
        model="all-MiniLM-L6-v2", input=["A cat sits on the mat.", "A kitten rests on a rug.", "Rates rose."]
    )
    cat, kitten, rates = (row.embedding for row in answer.data)
    client.close()

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.dist(a, [0] * len(a)) / math.dist(b, [0] * len(b))

    assert len(cat) == 384
    assert cosine(cat, kitten) > 0.5 > 0.3 > cosine(cat, rates)
    await api.remove("minilm")


async def test_a_program_that_cannot_start_ends_in_failed_with_its_words(any_stack: Stack) -> None:
    api = any_stack.api
    definition = """
models:
  - name: broken
    model_path: /models
    service:
      pre_start_actions:
        - action: log
          args: {message: "about to fail"}
      start_command: [python, -c, "import sys; sys.exit('no such model: fnord')"]
      port: 8000
      health_check: {path: /, initial_delay: 0.5, interval: 0.5, max_wait_time: 1}
"""
    await api.folder("broken", {"model-definition.yaml": definition})
    await api.call("POST", "/v1/services", any_stack.spec("broken", folder="broken"))

    async def failed() -> bool:
        seen = await api.service("broken")
        assert seen["phase"] == "failed", seen["reason"]
        return True

    await eventually(failed, within_s=120, every_s=0.5)
    seen = await api.service("broken")
    assert seen["status"] == "unhealthy"
    assert len(seen["errors"]) == 5
    assert all("fnord" in error["reason"]["text"] for error in seen["errors"]), seen["errors"][0]
    await api.call("POST", "/v1/services/broken/retry")
    assert (await api.service("broken"))["phase"] == "deploying"
    await api.remove("broken")


@pytest.mark.parametrize("kind", ["string", "list"])
async def test_pre_start_actions_in_order_and_both_kinds_of_command(any_stack: Stack, kind: str) -> None:
    api = any_stack.api
    name = f"actions-{kind}"
    command = "python -m http.server --directory /home/work/site 8000"
    start = f'"{command}"' if kind == "string" else "[" + ", ".join(f'"{word}"' for word in command.split()) + "]"
    definition = f"""
models:
  - name: {name}
    model_path: /models
    service:
      pre_start_actions:
        - action: log
          args: {{message: "first of all"}}
        - action: mkdir
          args: {{path: /home/work/site}}
        - action: write_file
          args: {{filename: /home/work/site/a.txt, body: "{{braces}} stay "}}
        - action: write_file
          args: {{filename: /home/work/site/a.txt, body: "and more", append: true}}
        - action: write_tempfile
          args: {{body: "print(1)"}}
        - action: run_command
          args: {{command: [python, -c, "print('ran'); open('/home/work/site/b.txt','w').write('b')"]}}
      start_command: {start}
      port: 8000
      health_check: {{path: /, initial_delay: 0.2, interval: 0.5, max_retries: 60}}
"""
    if any_stack.runtime == "process":  # paths inside a program's own text are the program's business there
        definition = definition.replace("open('/home/work/site/b.txt','w')", "open('site/b.txt','w')")
    await api.folder(name, {"model-definition.yaml": definition})
    await api.call("POST", "/v1/services", any_stack.spec(name, folder=name, open_to_public=True))
    await api.until_healthy(name, replicas=1, within_s=60)
    assert httpx.get(f"{any_stack.proxy}/{name}/a.txt", timeout=60, verify=False).text == "{braces} stay and more"
    assert httpx.get(f"{any_stack.proxy}/{name}/b.txt", timeout=60, verify=False).text == "b"
    text = (await api.http.get(f"/v1/services/{name}/logs")).text
    assert text.index("first of all") < text.index("ran")
    await api.remove(name)


async def test_the_seeds_simple_http_server_verbatim(simple_http_server: asyncio.Task[None]) -> None:
    """The last of this file, as it is under way since the first."""
    await simple_http_server
