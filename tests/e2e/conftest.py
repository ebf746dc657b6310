"""One stack per runtime for all end-to-end tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.images import EMBEDDING_PACKAGES, LIBRARY, build_image
from tests.support.ports import free_port
from tests.support.worlds.stack import Stack

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def embedding_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared example model folder."""
    folder = tmp_path_factory.mktemp("embeddings") / "folder"
    subprocess.run(
        [sys.executable, ROOT / "examples/embeddings/prepare.py", "--output", folder], check=True, timeout=180
    )
    return folder


@pytest.fixture(scope="session")
def python_image() -> Iterator[str]:
    """An image with Python, the engine and what the embedding example needs."""
    tag = "headrace-test-e2e:1"
    build_image(
        tag,
        EMBEDDING_PACKAGES,
        sources={f"/usr/local/lib/{LIBRARY}/site-packages/headrace": ROOT / "libs/engine/headrace"},
    )
    yield tag
    subprocess.run(["docker", "image", "rm", "-f", tag], check=False, capture_output=True, timeout=60)


QUICK_RULES = {"HEADRACE_AUTOSCALER_WINDOW_S": "3", "HEADRACE_AGENT_METRICS_EVERY": "PT1S"}
"""Settings with which a rule follows its metric soon: what it averages over is the same to these tests."""


OWN_SOURCES = {"HEADRACE_MANAGER_MODEL_URI_NETWORKS": '["127.0.0.0/8"]'}
"""Setting with which model URIs may lead to a test's own server."""


async def _running(stack: Stack) -> AsyncIterator[Stack]:
    await stack.start()
    yield stack
    assert await stack.stop() == 0, stack.log.read_text()[-4000:]


@pytest.fixture(scope="session")
def hub_port() -> int:
    """Where the stack expects the hub of `hf://` URIs."""
    return free_port()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory, hub_port: int) -> AsyncIterator[Stack]:
    """Headrace on the process runtime, with four simulated GPUs."""
    async for running in _running(
        Stack(
            tmp_path_factory.mktemp("process") / "data",
            runtime="process",
            python_image=None,
            gpus=4,
            environ=QUICK_RULES | OWN_SOURCES | {"HEADRACE_MANAGER_HUB_ENDPOINT": f"http://127.0.0.1:{hub_port}"},
        )
    ):
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def docker_stack(tmp_path_factory: pytest.TempPathFactory, python_image: str) -> AsyncIterator[Stack]:
    """Headrace with its kernels as containers."""
    async for running in _running(
        Stack(
            tmp_path_factory.mktemp("docker") / "data",
            runtime="docker",
            python_image=python_image,
            environ=QUICK_RULES | {"HEADRACE_AGENT_CPU": "16"},  # room for all that the tests have at once
        )
    ):
        yield running


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def any_stack(request: pytest.FixtureRequest) -> Stack:
    """Each test once per runtime."""
    found: Stack = request.getfixturevalue("stack" if request.param == "process" else "docker_stack")
    return found
