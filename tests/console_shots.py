"""Pictures of the web console for docs/console/ (`make console-shots`): the embedded stack with simulated GPUs, and a real browser."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from tests.support.console import ROOT, Console, built_console, console
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

OUT = ROOT / "docs" / "console"
EXAMPLE = ROOT / "examples" / "chat-simulated"
REQUESTS = 60


@dataclass(frozen=True)
class Shot:
    """A picture: its file, the page, what is there when it is taken, the window."""

    name: str
    path: str
    sees: str
    size: tuple[int, int] = (1440, 900)
    theme: str = "light"


SHOTS = (
    Shot("services", "/services", "rivers"),
    Shot("service", "/services/rivers", "2 of 2 replicas healthy"),
    Shot("service-dark", "/services/rivers", "2 of 2 replicas healthy", theme="dark"),
    Shot("service-phone", "/services/rivers", "2 of 2 replicas healthy", size=(390, 844)),
    Shot("logs", "/services/rivers/logs", "rivers"),
    Shot("history", "/services/rivers/history", "more context"),
    Shot("access", "/services/rivers/access", "website"),
    Shot("folder", "/folders/chat", "model-definition.yaml"),
    Shot("new-service", "/services/new?folder=chat", "Effective values"),
    Shot("machines", "/machines", "agent-2"),
)


async def main() -> None:
    """Take all pictures anew."""
    await built_console()
    OUT.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        stack = Stack(Path(folder) / "data", runtime="process", python_image=None, agents=2, gpus=4)
        await stack.start()
        try:
            await _in_use(stack)
            async with console(Path(folder)) as page:
                await _taken(stack, page)
        finally:
            await stack.stop()


async def _in_use(stack: Stack) -> None:
    """Make services, and call one."""
    api = stack.api
    await api.folder("chat", {path.name: path.read_text() for path in EXAMPLE.iterdir() if path.is_file()})
    common = {"project": "default", "folder": "chat", "slots": {"cpu": "0.1", "mem": "256m", "cuda.shares": "0.5"}}
    for name, more in (
        ("rivers", {"replicas": 2, "description": "Answers questions about rivers", "tags": ["chat", "production"]}),
        ("translate", {"replicas": 1, "tags": ["staging"]}),
        ("evaluation", {"replicas": 0}),
        ("too-large", {"replicas": 1, "slots": {"cpu": "0.1", "mem": "256m", "cuda.device": "16"}}),
    ):
        await api.call("POST", "/v1/services", {"name": name, **common, **more})
    spec = {name: value for name, value in common.items() if name != "project"} | {"environ": {"CONTEXT": "8192"}}
    await api.call("PATCH", "/v1/services/rivers", {"spec": spec, "message": "more context"})
    token = (await api.call("POST", "/v1/services/rivers/tokens", {"name": "website"}))["token"]

    async def healthy() -> bool:
        rivers = await api.call("GET", "/v1/services/rivers")
        return bool(rivers["status"] == "healthy" and rivers["phase"] == "deployed")

    await eventually(healthy, within_s=120)
    async with httpx.AsyncClient(verify=False, timeout=60, headers={"Authorization": f"Bearer {token}"}) as http:
        for _ in range(REQUESTS):
            body = {"model": "chat-simulated", "messages": [{"role": "user", "content": "Tell me of rivers"}]}
            (await http.post(f"{stack.proxy}/rivers/v1/chat/completions", json=body)).raise_for_status()


async def _taken(stack: Stack, page: Console) -> None:
    await page.enter(stack.api)
    for shot in SHOTS:
        await page.shows(*shot.size, shot.theme)
        await page.open(f"{stack.api.url}/console{shot.path}")
        await page.settled()
        await page.sees(shot.sees)
        (OUT / f"{shot.name}.png").write_bytes(await page.picture())


if __name__ == "__main__":
    asyncio.run(main())
