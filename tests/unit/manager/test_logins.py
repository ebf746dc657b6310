"""Tries of passwords, who needs the present one, and that an unknown name costs the same work."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY
from pydantic import ValidationError

from headrace.common.contracts import wording
from headrace.common.contracts.http.logins import PutPassword, StartLogin
from headrace.common.contracts.ids import KeyId, LoginId, UserId, new_uuid
from headrace.common.contracts.problems import Unavailable
from headrace.manager.domain.access import Actor, write_refusal
from headrace.manager.domain.logins import needs_current, outlives, tries
from headrace.manager.usecases import password_hashes
from headrace.manager.usecases.password_hashes import OF_NOBODY, PasswordHashes

ANN, BOB = UserId(new_uuid()), UserId(new_uuid())
KEY, LOGIN = KeyId(new_uuid()), LoginId(new_uuid())
SOON = datetime(2030, 1, 1, tzinfo=UTC)


def test_addresses_of_one_ipv6_network_count_together_and_names_apart() -> None:
    (one, name), (other, _) = tries("ann", "2001:db8::1"), tries("ann", "2001:db8:0:0:ffff::2")
    assert one.text == other.text != tries("ann", "2001:db8:0:1::1")[0].text
    assert name.text != tries("bob", "2001:db8::1")[1].text
    assert tries("ann", "10.0.0.1")[0].text != tries("ann", "10.0.0.2")[0].text
    assert tries("ann", "::ffff:10.0.0.1")[0].text != tries("ann", "::ffff:10.0.0.2")[0].text
    assert tries("ann", "")[0].most > name.most


def test_who_changes_the_own_password_needs_the_present_one_but_by_a_key_without_end() -> None:
    by_key = Actor(ANN, "ann", operator=False, key_id=KEY)
    by_ending_key = Actor(ANN, "ann", operator=False, key_id=KEY, key_ends_at=SOON)
    by_login = Actor(ANN, "ann", operator=False, login_id=LOGIN)
    assert [needs_current(who, ANN, has_password=True) for who in (by_key, by_ending_key, by_login)] == [
        False,
        True,
        True,
    ]
    assert not needs_current(by_login, ANN, has_password=False)
    assert not needs_current(by_login, BOB, has_password=True), "an operator sets others'"
    assert outlives(by_ending_key, ANN, has_password=False)
    assert not outlives(by_ending_key, BOB, has_password=False)
    assert not outlives(by_login, ANN, has_password=False)


def test_a_key_is_limited_that_may_only_read_or_is_for_projects() -> None:
    assert not Actor(ANN, "ann", operator=True).limited
    assert Actor(ANN, "ann", operator=True, read_only=True).limited
    assert Actor(ANN, "ann", operator=False, projects=()).limited


def test_a_read_only_key_says_that_it_is_one() -> None:
    assert write_refusal(Actor(ANN, "ann", operator=True)) is None
    assert "may only read" in (write_refusal(Actor(ANN, "ann", operator=True, read_only=True)) or "")


def test_what_nobody_s_password_is_compared_with_was_made_as_all_others_are() -> None:
    assert extract_parameters(OF_NOBODY) == RFC_9106_LOW_MEMORY
    assert not PasswordHashes().outdated(OF_NOBODY)


async def test_a_password_matches_its_hash_however_it_was_typed_and_no_hash_matches_none() -> None:
    hashes = PasswordHashes()
    made = await hashes.make("caf\u00e9 au lait, please")
    assert await hashes.matches("cafe\u0301 au lait, please", made)
    assert not await hashes.matches("cafe au lait, please", made)
    assert not await hashes.matches("anything at all", None)
    assert not await hashes.matches("anything at all", "no hash")


async def test_a_name_that_nobody_has_costs_one_comparison_as_each_other_does(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def verify(_: PasswordHasher, stored: str, __: str) -> bool:
        compared.append(stored)
        raise VerifyMismatchError

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    hashes = PasswordHashes()
    for stored in (None, OF_NOBODY.replace("XmzJ", "YmzJ")):
        assert not await hashes.matches("a wrong password", stored)
    assert len(compared) == 2
    assert [extract_parameters(stored) for stored in compared] == [RFC_9106_LOW_MEMORY] * 2


async def test_more_passwords_than_may_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_hashes, "MAX_WAITING", -password_hashes.AT_ONCE)
    with pytest.raises(Unavailable) as refused:
        await PasswordHashes().make("a password to be hashed")
    assert refused.value.document()["reason"] == "passwords-busy"
    assert refused.value.headers == {"Retry-After": "1"}


@pytest.mark.parametrize("shown", [repr, str])
def test_no_password_key_or_code_shows_in_a_body_s_text(shown: type[str]) -> None:
    bodies = (
        StartLogin(user="ann", password="hunter2hunter2"),
        StartLogin(key="hunter2hunter2"),
        StartLogin(code="hunter2hunter2"),
        PutPassword(password="hunter2hunter2", current="hunter2hunter2"),
    )
    assert not any("hunter2" in shown(body) for body in bodies)


@pytest.mark.parametrize(
    "wrong",
    [{"password": "short"}, {"password": "hunter2" * 100}, {"password": "long enough to be one", "current": ""}],
)
def test_a_refused_password_is_told_by_its_length(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="characters") as refused:
        PutPassword.model_validate(wrong)
    rows = str(wording.rows(refused.value))
    assert "hunter2" not in rows
    assert "short" not in rows
