"""Codes of reasons: catalogued once, used by name, bounded, and read as they come."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace import sdk
from headrace.common.contracts import problems
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.reasons import MAX_TEXT, MAX_TEXT_OF_ONE, Reason, ReasonCode
from headrace.common.contracts.reasons.catalogue import CATALOGUES
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.reasons.service import ServiceReason
from headrace.common.contracts.reasons.session import SessionReason

ROOT = Path(__file__).parents[3]
MEMBERS = [member for catalogue in CATALOGUES.values() for member in catalogue]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for folder in ("libs", "services")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "contracts/reasons/" not in str(path)
}
SQL = "\n".join(path.read_text() for folder in ("libs", "services") for path in sorted((ROOT / folder).rglob("*.sql")))
OTHER_WORDS = {
    kind.type for kind in vars(problems).values() if isinstance(kind, type) and issubclass(kind, Problem)
} | {"bus-away", "trial-run"}
"""Codes that are something else, too: types of problems, how a manager hears app-proxies (`Presence`), what holds quota (`HolderKind`)."""


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: f"{type(member).__name__}.{member.name}")
def test_a_code_is_kebab_case_is_called_so_and_says_in_one_line_what_it_means(member: ReasonCode) -> None:
    Reason.of(member, "")
    assert member.name == member.value.replace("-", "_").upper()
    meanings = [getattr(member, name, "") for name in ("meaning", "broken", "retried")]
    assert any(meanings)
    for meaning in filter(None, meanings):
        assert len(meaning) < 120
        assert not meaning.endswith(".")
        assert "\n" not in meaning


def test_every_code_that_is_catalogued_is_given_somewhere() -> None:
    used = set(re.findall(r"\b(\w+Reason\.[A-Z_]+)\b", "\n".join(SOURCES.values())))
    in_sql = set(re.findall(r"'([a-z0-9-]+)'", SQL))
    unused = [
        f"{type(member).__name__}.{member.name}"
        for member in MEMBERS
        if f"{type(member).__name__}.{member.name}" not in used and member.value not in in_sql
    ]
    assert unused == []


def test_no_code_is_written_as_a_text() -> None:
    codes = {member.value for member in MEMBERS if "-" in member.value} - OTHER_WORDS
    written = [
        f"{file}: {word}"
        for file, text in SOURCES.items()
        for word in re.findall(r"\"([a-z0-9]+(?:-[a-z0-9]+)+)\"", text)
        if word in codes
    ]
    assert written == []


def test_codes_that_sql_writes_are_catalogued() -> None:
    written = set(re.findall(r"reason_code(?: text not null default)?(?: =)? '([^']+)'", SQL))
    written |= set(re.findall(r"case when k\.lost then '([^']+)' when k\.shows then k\.reason_code", SQL))
    assert {"waiting-for-machine", "placed", "kernel-vanished", "agent-lost"} <= written
    assert written <= {member.value for member in MEMBERS}


def test_nobody_makes_a_reason_without_saying_whether_its_code_is_ours() -> None:
    assert [file for file, text in SOURCES.items() if re.search(r"\bReason\(", text)] == []


def test_a_text_is_cut_to_what_may_be_said() -> None:
    assert len(Reason.of(KernelReason.EXITED, "x" * 9000).text) == MAX_TEXT_OF_ONE
    assert len(Reason.of(ServiceReason.STARTING, "x" * 9000).text) == MAX_TEXT
    assert len(Reason.read("exited", "x" * 9000).text) == MAX_TEXT


def test_a_code_of_another_version_is_kept_as_it_came() -> None:
    seen = RuleOutcome.model_validate_json(
        '{"rule_id": "0197a0c0-0000-7000-8000-000000000000", "at": "2026-01-01T00:00:00Z", "observed": 1, "fired": false,'
        ' "reason": {"code": "of-tomorrow", "text": "who knows", "detail": 7}}'
    )
    assert (seen.reason.code, seen.reason.text) == ("of-tomorrow", "who knows")
    assert RuleOutcome.model_validate_json(seen.model_dump_json()) == seen


def test_what_a_row_says_is_read_whatever_it_says() -> None:
    assert Reason.read("Of Yesterday", "text").code == "Of Yesterday"


def test_a_code_is_told_as_plain_text() -> None:
    reason = Reason.of(SessionReason.DRAINED, "it is empty")
    assert reason.model_dump_json() == '{"code":"drained","text":"it is empty"}'
    assert type(reason.code) is str
    assert reason.code == SessionReason.DRAINED


def test_the_sdk_has_every_catalogue() -> None:
    assert {getattr(sdk, catalogue.__name__) for catalogue in CATALOGUES.values()} == set(CATALOGUES.values())
