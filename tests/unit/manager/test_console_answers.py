"""Answers of the web console's files: encodings, tags, policies, and the page in place of a console that is not built."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from headrace.manager import console_files
from headrace.manager.console_files import (
    MAX_FILE_BYTES,
    MAX_FILES,
    PACKAGED,
    ConsoleFiles,
    console_folder,
    read_console,
)
from headrace.manager.domain.console_answers import Answer, Asked, BuiltConsole, ConsoleFile, accepted, answer, unbuilt

SCRIPT = ConsoleFile("text/javascript; charset=utf-8", "d1", b"let a", {"br": b"B", "gzip": b"G"})
CONSOLE = BuiltConsole(
    '<meta property="csp-nonce" nonce="__CSP_NONCE__"><style nonce="__CSP_NONCE__">',
    {"assets/main-AbCd.js": SCRIPT, "favicon.svg": ConsoleFile("image/svg+xml", "d2", b"<svg/>", {})},
)


def ask(path: str, accept: str | None = None, known: str | None = None) -> Answer:
    made = answer(CONSOLE, Asked(path, accept, known), nonce="n0nce", chat_origins=("https://chat.example.com",))
    assert made is not None
    return made


@pytest.mark.parametrize(
    "path", ["", "login", "services/chat/logs", "index.html", "../../etc/passwd", "assets", "x\x00"]
)
def test_every_path_that_is_no_file_is_the_page_with_a_nonce(path: str) -> None:
    made = ask(path)
    assert made.status == 200
    assert made.body.decode() == '<meta property="csp-nonce" nonce="n0nce"><style nonce="n0nce">'
    assert made.headers["Cache-Control"] == "no-store"
    assert made.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-n0nce'; img-src 'self' data: blob:; "
        "connect-src 'self' https://chat.example.com; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    assert "camera=()" in made.headers["Permissions-Policy"]
    assert made.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert made.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert made.headers["Referrer-Policy"] == "no-referrer"
    assert made.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("field", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, br;q=0", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("*", "br"),
        ("*, br;q=0", "gzip"),
        ("br;q=0, gzip; q=0.000, *", None),
        ("br;q=2, gzip;level=1", None),
        ("brotli,,;q=1", None),
    ],
)
def test_an_asset_is_sent_in_the_smallest_form_that_the_browser_takes(field: str | None, coding: str | None) -> None:
    made = ask("assets/main-AbCd.js", field)
    assert made.headers.get("Content-Encoding") == coding
    assert made.body == {None: b"let a", "br": b"B", "gzip": b"G"}[coding]
    assert made.headers["ETag"] == ('"d1"' if coding is None else f'"d1-{coding}"')
    assert made.headers["Vary"] == "Accept-Encoding"
    assert made.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert made.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_very_long_field_costs_one_look() -> None:
    assert accepted(",".join(["x" * 41] * 180) + ",br") == {"br"}


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ('"d1-br"', 304),
        ('W/"d1-br"', 304),
        ('"other", "d1-br"', 304),
        ("*", 304),
        ('"d1"', 200),
        ("d1-br", 200),
        ("", 200),
    ],
)
def test_what_the_browser_has_is_not_sent_again(known: str, status: int) -> None:
    made = ask("assets/main-AbCd.js", "br", known)
    assert made.status == status
    assert made.body == (b"" if status == 304 else b"B")
    assert made.headers["ETag"] == '"d1-br"'


def test_a_file_without_a_hash_in_its_name_is_asked_for_again_each_time() -> None:
    made = ask("favicon.svg", "br")
    assert (made.headers["Cache-Control"], made.headers["Content-Type"], made.body) == (
        "no-cache",
        "image/svg+xml",
        b"<svg/>",
    )


def test_an_asset_of_another_version_is_not_there() -> None:
    assert answer(CONSOLE, Asked("assets/main-Other.js"), nonce="n") is None


def test_the_page_in_place_of_a_console_has_no_script_and_loads_itself_again_if_that_can_help() -> None:
    waiting, never = unbuilt(why="<why>", soon=True), unbuilt(why="it is not here", soon=False)
    assert (waiting.status, waiting.headers["Retry-After"], never.status) == (503, "3", 404)
    assert '<meta http-equiv="refresh" content="3">' in waiting.body.decode()
    assert "&lt;why&gt;" in waiting.body.decode()
    assert "refresh" not in never.body.decode()
    assert "Retry-After" not in never.headers
    for made in (waiting, never):
        assert "<script" not in made.body.decode()
        assert made.headers["Content-Security-Policy"].startswith("default-src 'none';")
        assert made.headers["Cache-Control"] == "no-store"


def build(folder: Path, page: str = "a __CSP_NONCE__") -> Path:
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(page)
    (folder / "assets" / "main-AbCd.js").write_bytes(b"let a")
    (folder / "assets" / "main-AbCd.js.gz").write_bytes(gzip.compress(b"let a"))
    (folder / "assets" / "odd.gz").write_bytes(b"of no other file")
    return folder


def test_a_built_console_is_read_with_its_compressed_forms_and_without_links_and_hidden_files(tmp_path: Path) -> None:
    folder = build(tmp_path / "console")
    (tmp_path / "secret").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret")
    (folder / "elsewhere").symlink_to(tmp_path)
    (folder / ".hidden").write_text("x")
    (folder / ".vite").mkdir()
    (folder / ".vite" / "manifest.json").write_text("{}")
    os.mkfifo(folder / "pipe")
    built = read_console(folder)
    assert built.page == "a __CSP_NONCE__"
    assert set(built.files) == {"assets/main-AbCd.js", "assets/odd.gz"}
    assert built.files["assets/main-AbCd.js"].content_type == "text/javascript; charset=utf-8"
    assert gzip.decompress(built.files["assets/main-AbCd.js"].compressed["gzip"]) == b"let a"


def test_a_folder_that_is_too_large_is_no_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(tmp_path / "one")
    os.truncate(folder / "assets" / "main-AbCd.js", MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match=f"allowed: {MAX_FILES} files, {MAX_FILE_BYTES} bytes each"):
        read_console(folder)
    monkeypatch.setattr(console_files, "MAX_FILES", 3)
    with pytest.raises(ValueError, match="found 4 files"):
        read_console(build(tmp_path / "other"))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 2
        return self.now


async def test_a_console_is_taken_once_it_is_built_and_when_it_is_built_anew_and_a_broken_one_is_not(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "console"
    files = ConsoleFiles(folder, soon=True, monotonic=Clock().monotonic)
    assert await files.built() is None
    build(folder, "first")
    assert (first := await files.built()) is not None
    assert first.page == "first"
    assert await files.built() is first
    folder.rename(tmp_path / "old")
    assert await files.built() is first, "it is being replaced"
    build(tmp_path / "new", "second").rename(folder)
    assert (second := await files.built()) is not None
    assert second.page == "second"
    folder.rename(tmp_path / "older")
    build(folder, "third")
    os.truncate(folder / "assets" / "main-AbCd.js", MAX_FILE_BYTES + 1)
    assert await files.built() is second


def test_the_console_is_the_configured_one_or_that_of_the_checkout(tmp_path: Path) -> None:
    assert console_folder(tmp_path) == (tmp_path, True)
    assert not PACKAGED.exists(), "only in a wheel"
