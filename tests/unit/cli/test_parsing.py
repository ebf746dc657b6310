"""What is typed on the command line: understood, or refused with what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from headrace.cli import text
from headrace.cli.commands.service.spec_flags import overlaid
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.parsing import document, duration_s, env_file, expiry, lifetime_s, mount, pairs
from headrace.common.text.counting import count


def test_pairs_keep_what_follows_the_first_equals_sign() -> None:
    assert pairs(["A=1", "B=x=y", "A=2", "C="], "--env") == {"A": "2", "B": "x=y", "C": ""}


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)],
)
def test_durations(typed: str, seconds: int) -> None:
    assert duration_s(typed, "--expires") == seconds


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("corpus", {"folder": "corpus"}),
        ("corpus:rw", {"folder": "corpus", "read_only": False}),
        ("corpus:/data", {"folder": "corpus", "target": "/data"}),
        ("corpus:/data:ro", {"folder": "corpus", "target": "/data", "read_only": True}),
    ],
)
def test_mounts(typed: str, meant: dict[str, object]) -> None:
    assert mount(typed) == meant


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: pairs(["A"], "--env"),
        lambda: pairs(["=1"], "--env"),
        lambda: duration_s("1y", "--expires"),
        lambda: duration_s("-1d", "--expires"),
        lambda: mount("a:/b:/c"),
        lambda: mount(":/b"),
    ],
)
def test_what_is_wrong_is_a_usage_error_that_says_what_is_allowed(wrong: Callable[[], object]) -> None:
    with pytest.raises(CliError, match="allowed") as caught:
        wrong()
    assert caught.value.code is ExitCode.USAGE


def test_a_file_of_variables(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\n\nA=1\n  B=two words \n")
    assert env_file(file) == {"A": "1", "B": "two words"}


@pytest.mark.parametrize("read", [document, env_file])
def test_a_file_that_is_no_text_is_refused_with_the_byte(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "a").write_bytes(b"A=1\nB=\xff\n")
    with pytest.raises(CliError, match="a: found a byte at 6 that is not UTF-8") as caught:
        read(tmp_path / "a")
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("name", "content"), [("a.yaml", "name: a\nport: 1\n"), ("a.json", '{"name": "a", "port": 1}')]
)
def test_documents(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert document(tmp_path / name) == {"name": "a", "port": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.yaml", "- a\n"), ("b.yaml", "a: [\n"), ("c.json", "{"), ("d.yaml", "a: 1\na: 2\n"), ("e.yaml", "")],
)
def test_other_documents_are_refused_with_their_path(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CliError, match=name):
        document(tmp_path / name)


def test_flags_win_over_a_file_and_merge_name_by_name() -> None:
    below = {"folder": "a", "environ": {"A": "1", "B": "1"}, "slots": None, "tags": ["x"]}
    over = {"environ": {"B": "2"}, "slots": {"cpu": "1"}, "tags": ["y"]}
    assert overlaid(below, over) == {
        "folder": "a",
        "environ": {"A": "1", "B": "2"},
        "slots": {"cpu": "1"},
        "tags": ["y"],
    }


def test_values_as_people_read_them() -> None:
    assert text.moment(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-01T00:00:00Z"
    assert text.cell(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"
    assert [text.size(n) for n in (0, 1023, 1024, 1536, 2**30, 300_000_000)] == [
        "0 B",
        "1023 B",
        "1 KiB",
        "1.5 KiB",
        "1 GiB",
        "286.1 MiB",
    ]
    assert (
        text.slots({"mem": Decimal(2**30), "cpu": Decimal("0.50"), "cuda.device": Decimal(10)})
        == "cpu=0.5 cuda.device=10 mem=1GiB"
    )
    assert [text.cell(value) for value in (None, True, False, 3)] == ["-", "yes", "no", "3"]
    assert text.clean("a\x1b[31mb\nc\td\x9b") == "a\\x1b[31mb\\x0ac\td\\x9b"
    assert [count(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("90d", {"expires_in_s": 7_776_000}),
        ("2027-12-31", {"expires_at": datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)}),
        ("2027-12-31T18:00", {"expires_at": datetime(2027, 12, 31, 18, tzinfo=UTC)}),
        ("2027-12-31T18:00:00+09:00", {"expires_at": datetime(2027, 12, 31, 9, tzinfo=UTC)}),
    ],
)
def test_an_expiry_is_a_duration_with_a_unit_or_a_date(typed: str, meant: dict[str, object]) -> None:
    assert expiry(typed, "--expires") == meant


@pytest.mark.parametrize("typed", ["30", "20271231", "soon", "2027-13-01", "-1d", "1.5d", "", "never"])
def test_an_expiry_without_a_unit_is_not_guessed(typed: str) -> None:
    with pytest.raises(CliError, match="allowed: a number with s, m, h, d or w"):
        expiry(typed, "--expires")


def test_a_date_gives_the_seconds_until_its_end() -> None:
    assert lifetime_s("2027-12-31", "--expires", datetime(2027, 12, 31, 23, 59, 49, tzinfo=UTC)) == 10


def test_never_is_an_expiry_where_something_may_last_without_end() -> None:
    assert expiry("never", "--expires", never=True) == {"expires_in_s": None}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (90, "in 90 s"),
        (-30, "30 s ago"),
        (7_199, "in 119 min"),
        (7_200, "in 2 h"),
        (172_799, "in 47 h"),
        (172_800, "in 2 days"),
        (-40 * 86_400, "40 days ago"),
    ],
)
def test_an_end_is_shown_as_a_time_and_how_far_it_is(seconds: int, shown: str) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    at = now + timedelta(seconds=seconds)
    assert text.until(at, now) == f"{text.moment(at)} ({shown})"
    assert text.until(None, now) == "never"


def test_a_date_that_is_over_is_said_as_it_was_typed() -> None:
    with pytest.raises(CliError, match="--expires 2020-01-01: found 2020-01-01T23:59:59Z, which is over"):
        lifetime_s("2020-01-01", "--expires", datetime(2027, 1, 1, tzinfo=UTC))
