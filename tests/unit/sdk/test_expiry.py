"""Expiries: all forms in which callers give them, and the edges of each."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from headrace.sdk import Client
from headrace.sdk.expiry import Expires, expiry_fields, lasting_s
from tests.support.fakes.manager_api import FakeManagerApi, uid

NEW_YEAR = datetime(2027, 1, 1, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ("30d", {"expires_in_s": 2_592_000}),
        ("12h", {"expires_in_s": 43_200}),
        (" 1s ", {"expires_in_s": 1}),
        (timedelta(seconds=1.5), {"expires_in_s": 2}),
        ("2027-01-01", {"expires_at": NEW_YEAR}),
        (date(2027, 1, 1), {"expires_at": NEW_YEAR}),
        ("2027-01-01T12:00+02:00", {"expires_at": datetime(2027, 1, 1, 10, tzinfo=UTC)}),
        ("2027-01-01 12:00", {"expires_at": datetime(2027, 1, 1, 12, tzinfo=UTC)}),
        ("2027-01-01T12:00:00Z", {"expires_at": datetime(2027, 1, 1, 12, tzinfo=UTC)}),
        (
            datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=9))),
            {"expires_at": datetime(2026, 12, 31, 15, 30, tzinfo=UTC)},
        ),
        (datetime(2027, 1, 1, 12), {"expires_at": datetime(2027, 1, 1, 12, tzinfo=UTC)}),  # noqa: DTZ001 - without a zone
        ("2028-02-29", {"expires_at": datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)}),
        ("never", {"expires_in_s": None}),
    ],
)
def test_every_form_becomes_one_field_of_the_request(given: Expires, fields: dict[str, Any]) -> None:
    assert expiry_fields(given, never=True) == fields


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "30", "20270101", "2027-02-29", "9999-12-31T23:59-12:00", "1.5d", "-1d", "soon", "Never", "x" * 1000),
        *("2027-W01", "2027-W01-1", "2027-W01-1T12:00"),
    ],
)
def test_what_is_none_is_refused_with_what_is_allowed(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^found .*; allowed: a number with s, m, h, d or w") as refused:
        expiry_fields(wrong, never=True)
    assert len(str(refused.value)) < 400


def test_a_duration_beyond_the_calendar_is_left_to_the_managers_bound() -> None:
    (seconds,) = expiry_fields("999999999999w").values()
    assert seconds > 315_360_000


def test_what_must_end_refuses_never() -> None:
    with pytest.raises(ValueError, match=r"^found never; allowed: (?!.*never)"):
        expiry_fields("never")


def test_the_seconds_left_are_rounded_up_and_an_end_that_is_over_is_refused() -> None:
    now = datetime(2027, 1, 1, 23, 59, 58, 500_000, tzinfo=UTC)
    assert lasting_s("2027-01-01", now) == 1
    assert lasting_s("15m", now) == 900
    with pytest.raises(ValueError, match="found 2026-12-31T23:59:59Z, which is over"):
        lasting_s("2026-12-31", now)


def test_the_client_takes_every_form(there: FakeManagerApi, client: Client) -> None:
    token: dict[str, Any] = {"id": uid(4), "name": "", "created_by": "ann", "created_at": "2026-01-01T00:00:00Z"}
    token |= {"expires_at": "2027-01-01T23:59:59Z", "revoked_at": None, "token": "secret"}
    there.on("POST", "/v1/services/echo/tokens", token, status=201)
    client.tokens.create("echo", expires="2027-01-01")
    assert there.bodies[-1] == {"expires_at": "2027-01-01T23:59:59Z", "expires_in_s": None}
    client.tokens.create("echo", expires=timedelta(days=30))
    assert there.bodies[-1] == {"expires_at": None, "expires_in_s": 2_592_000}
    with pytest.raises(ValueError, match="never"):
        client.tokens.create("echo", expires="never")
    key = {"id": uid(5), "name": "default", "created_at": "2026-01-01T00:00:00Z", "expires_at": None, "key": "hr_x"}
    there.on("POST", "/v1/users/ann/keys", key, status=201)
    there.on("PATCH", f"/v1/users/ann/keys/{uid(5)}", key)
    client.users.create_key("ann", expires="12h")
    assert there.bodies[-1] == {"expires_at": None, "expires_in_s": 43_200}
    client.users.update_key("ann", uid(5), expires="never")
    assert there.bodies[-1] == {"expires_in_s": None}
    with pytest.raises(ValueError, match="nothing to change"):
        client.users.update_key("ann", uid(5))
