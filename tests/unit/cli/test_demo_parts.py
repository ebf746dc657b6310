"""What the demo is made of."""

from __future__ import annotations

import shlex
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from headrace.cli.demo import deploying
from headrace.cli.demo.calling import MODEL, call_with_curl, curl_line, similarity, vectors
from headrace.cli.demo.children import Program, tail_of
from headrace.cli.demo.console import ConsoleBuild
from headrace.cli.demo.demo_output import DemoOutput
from headrace.cli.errors import CliError
from headrace.sdk import Client
from tests.support.fakes.manager_api import KEY, NOW, FakeManagerApi, uid
from tests.support.wait import eventually, until


def test_similarity_is_the_cosine() -> None:
    assert similarity([1, 0], [2, 0]) == pytest.approx(1)
    assert similarity([1, 0], [0, 3]) == pytest.approx(0)
    assert similarity([1, 1], [-1, -1]) == pytest.approx(-1)


def test_the_curl_line_is_one_command_for_a_shell() -> None:
    line = curl_line("http://127.0.0.1:8000/embeddings/", "tok'en")
    words = shlex.split(line)
    assert words[:3] == ["curl", "-sS", "http://127.0.0.1:8000/embeddings/v1/embeddings"]
    assert "Authorization: Bearer tok'en" in words
    assert MODEL in words[-1]


def test_a_service_that_is_away_is_said_in_words(unused_tcp_port: int) -> None:
    endpoint = f"http://127.0.0.1:{unused_tcp_port}/embeddings"
    with pytest.raises(CliError, match="the openai client got"):
        vectors(endpoint, "token", ["a"])
    with pytest.raises(CliError, match="curl ended with 7"):
        call_with_curl(endpoint, "token")


def test_a_program_is_heard_line_by_line_and_its_end_is_kept() -> None:
    heard: list[str] = []
    code = "for n in range(100): print('line', n)\nraise SystemExit(7)"
    with Program("counting", [sys.executable, "-c", code], heard.append, stop_within_s=5) as program:
        assert program.wait(30) == 7
    assert heard == [f"line {n}" for n in range(100)]
    assert program.tail.splitlines()[-1] == "line 99"
    assert len(program.tail.splitlines()) == 40


async def test_a_program_that_does_not_end_when_asked_is_killed() -> None:
    heard: list[str] = []
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    program = Program("deaf", [sys.executable, "-c", code], heard.append, stop_within_s=0.2)
    with program:
        await eventually(lambda: heard == ["ready"])
    assert program.exit_code == -9


async def test_a_program_does_not_outlive_the_demo(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, signal, sys
        from headrace.cli.demo.children import Program
        said = []
        program = Program("child", [sys.executable, "-c", "import os,time; print(os.getpid(), flush=True); time.sleep(60)"],
                          said.append, stop_within_s=1)
        while not said:
            os.sched_yield()
        print(said[0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    there = Path(f"/proc/{int(ran.stdout)}/stat")
    await eventually(lambda: not there.exists() or there.read_text().rpartition(")")[2].split()[0] == "Z")


def test_the_end_of_a_log_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"{n}\n" for n in range(1000)))
    assert tail_of(tmp_path / "log", 2) == "998\n999"
    assert tail_of(tmp_path / "nothing") == ""


def test_the_demo_puts_its_folder_up_once_with_the_file_that_says_it_is_whole_last(
    there: FakeManagerApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "model"
    (source / "onnx").mkdir(parents=True)
    (source / "onnx/model.onnx").write_bytes(b"m" * 2_000_000)
    (source / "prepared.json").write_bytes(b"{}")
    view = {"id": uid(5), "name": "embeddings", "project_id": uid(2), "usage_mode": "model", "created_at": NOW}
    there.on("GET", "/v1/folders/embeddings", view)
    there.refused = {"onnx/model.onnx": "a directory"}
    with Client(there.url, KEY) as client:
        with pytest.raises(CliError, match=r"onnx/model\.onnx cannot be uploaded: it is invalid-request"):
            deploying.folder(client, source, tmp_path / "open.json", DemoOutput())
        assert there.files == {}
        there.refused = {}
        deploying.folder(client, source, tmp_path / "open.json", DemoOutput())
        assert list(there.files) == ["onnx/model.onnx", "prepared.json"]
        assert "2 files, 1.9 MiB are in the folder embeddings" in capsys.readouterr().out
        there.seen.clear()
        deploying.folder(client, source, tmp_path / "open.json", DemoOutput())
    assert {method for method, _ in there.seen} == {"GET"}


def building(folder: Path, code: str) -> Path:
    (folder / "scripts").mkdir()
    (folder / "scripts" / "console.py").write_text(code)
    return folder


def lines_of(console: ConsoleBuild, capsys: pytest.CaptureFixture[str], last: str) -> list[str]:
    """What the demo prints until a line has `last` in it."""
    said: list[str] = []

    def look() -> bool:
        console.look()
        said.extend(capsys.readouterr().out.splitlines())
        return any(last in line for line in said)

    until(look)
    console.look()
    return said + capsys.readouterr().out.splitlines()


def test_the_demo_tells_the_console_s_link_once_it_is_built_and_served(
    there: FakeManagerApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there.on("GET", "/console/", lambda: web.Response(status=503), lambda: web.Response(text="page"))
    code = {"code": "hrc_secret", "path": "/console/login#code=hrc_secret", "expires_at": NOW}
    there.on("POST", "/v1/login-codes", {"title": "not now", "status": 500}, code, status=201)
    root = building(tmp_path, "print('==> building the web console')")
    with ExitStack() as processes:
        console = ConsoleBuild(root, there.url, KEY, DemoOutput(), processes)
        assert lines_of(console, capsys, "another link") == [
            "          ==> building the web console",
            f"Web console: {there.url}/console/login#code=hrc_secret",
            "(logs you in once, within a minute; another link: headrace console)",
        ]


def test_a_console_that_cannot_be_built_does_not_end_the_demo(
    there: FakeManagerApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = building(tmp_path, "raise SystemExit('error: no room')")
    with ExitStack() as processes:
        console = ConsoleBuild(root, there.url, KEY, DemoOutput(), processes)
        assert lines_of(console, capsys, "was not built") == [
            "          error: no room",
            "The web console was not built, as is said above; `make console` tries it again.",
        ]


def test_the_demo_builds_no_console_where_none_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CONSOLE", "none")
    with ExitStack() as processes:
        ConsoleBuild(tmp_path, "http://127.0.0.1:1", KEY, DemoOutput(), processes).look()
