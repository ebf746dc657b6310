"""Writes the golden files anew, by the code of the previous release: python -m tests.golden.make

An installation of that release runs what its users and parts can do. Each kind of message is written down as it made it, and
so are the rows of all its tables, and what its API says of them. A release that moves deploy/previous-release runs this.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import tempfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import asyncpg

from tests.golden.answers import answers
from tests.golden.life import live
from tests.golden.recorder import shape
from tests.golden.tables import Rows, dump
from tests.support.previous_release import python as previous_python
from tests.support.wait import eventually
from tests.support.worlds.releases import Releases, releases

HERE: Final = Path(__file__).parent
EXAMPLES: Final = 4
"""Of one kind of message at most: those that have most that the others lack."""


def _chosen(folder: Path) -> list[Any]:
    """Return a few recorded messages with all places that any has."""
    found = [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]
    chosen: list[Any] = []
    covered: set[str] = set()
    while found and len(chosen) < EXAMPLES:
        best = max(found, key=lambda one: len(set(shape(one)) - covered))
        if not set(shape(best)) - covered:
            break
        covered |= set(shape(best))
        chosen.append(best)
        found.remove(best)
    return chosen


def _write(path: Path, content: object, hidden: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write a value; `hidden`: what tells of this machine, and what stands there instead."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    for found, instead in hidden.items():
        text = text.replace(found, instead)
    path.write_text(text + "\n")


async def _make(root: Path) -> None:
    recorded = root / "recorded"
    os.environ["RECORD_TO"] = str(recorded)
    async with releases(root, previous_python(), runner=(str(HERE / "recorder.py"),)) as on:
        others = await live(on)
        api = on.api("manager-1")
        con = await asyncpg.connect(on.database_url.partition("?")[0], ssl=_trusting(on.folder))

        async def quiet() -> tuple[Rows, dict[str, Any]] | None:
            """Rows and what the API says of them, if nothing changed meanwhile."""
            before = await answers(api, others)
            rows = await dump(con)
            return (rows, before) if await answers(api, others) == before else None

        try:
            rows, said = await eventually(quiet, within_s=60, what="nothing changes any more")
        finally:
            await con.close()
        told = {
            "at": time.time(),
            "admin_key": (on.folder / "admin.key").read_text().strip(),
            "settings": {name: _setting(on, name) for name in ("secret_key", "public_proxy_url")},
        }
        await api.remove("chat")
    hidden = {str(root): "/srv/headrace", json.dumps(socket.gethostname()): json.dumps("machine")}
    shutil.rmtree(HERE / "messages", ignore_errors=True)
    for kind in sorted(recorded.iterdir()):
        _write(HERE / f"messages/{kind.name}.json", _chosen(kind))
    _write(HERE / "tables.json", rows, hidden)
    _write(HERE / "answers.json", {**told, "answers": said}, hidden)


def _setting(on: Releases, name: str) -> str:
    return str(tomllib.loads((on.folder / "settings/manager.toml").read_text())[name])


def _trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=folder / "tls/ca.crt")


def main() -> None:
    """Make them in a temporary folder, and put them here."""
    with tempfile.TemporaryDirectory(prefix="headrace-golden-") as folder:
        asyncio.run(_make(Path(folder)))


if __name__ == "__main__":
    main()
