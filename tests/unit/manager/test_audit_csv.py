"""The audit log as CSV: whatever callers write into it, a reader gets it back, and no spreadsheet or terminal runs it."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.http.audit import AuditEntry
from headrace.common.contracts.ids import EventId, new_uuid
from headrace.manager.views import audit_csv


def entry(message: str, **changes: object) -> AuditEntry:
    """An entry with this message."""
    given = {
        "id": EventId(new_uuid()),
        "at": datetime(2026, 11, 30, tzinfo=UTC),
        "actor": "ada",
        "source_address": "10.0.0.9",
        "action": "project.updated",
        "message": message,
        "details": {"project": "red"},
    }
    return AuditEntry.model_validate(given | changes)


def read(file: bytes) -> list[dict[str, str]]:
    """The lines of a file, as a program reads them."""
    return list(csv.DictReader(io.StringIO(file.decode(), newline="")))


@given(st.text(max_size=50), st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"]))
def test_each_message_is_one_cell_that_begins_as_no_formula(text: str, first: str) -> None:
    (line,) = read(audit_csv.head() + audit_csv.lines([entry(first + text)]))
    told = line["message"]
    assert not told.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert told.removeprefix("'" if first else "") == _without_controls(first + text) or told.startswith("'")
    assert not set(told) & {"\x1b", "\x00", "\x7f", "\x9b"}
    assert (line["actor"], line["at"]) == ("ada", "2026-11-30T00:00:00+00:00")


def test_what_is_not_there_is_an_empty_cell_and_documents_are_json() -> None:
    (line,) = read(audit_csv.head() + audit_csv.lines([entry("", after={"name": '=1,"2"\r\nmore'})]))
    assert (line["before"], line["key_id"], line["service"]) == ("", "", "")
    assert line["after"] == '{"name": "=1,\\"2\\"\\r\\nmore"}'


def test_a_file_that_is_not_complete_ends_with_its_cursor() -> None:
    assert audit_csv.more("x") == b"more,x\r\n"


def _without_controls(text: str) -> str:
    return "".join(one for one in text if one in "\t\r\n" or not (ord(one) < 32 or 127 <= ord(one) < 160))
