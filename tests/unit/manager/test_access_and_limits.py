"""Roles, paths, quotas, names, keys."""

from __future__ import annotations

import re
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import KeyId, ServiceId, TokenId, UserId, new_uuid
from headrace.common.contracts.keyform import API_KEY
from headrace.common.contracts.manifest import MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES
from headrace.common.contracts.problems import Conflict, InvalidRequest, QuotaExceeded, Unavailable
from headrace.common.contracts.vocabulary import Role
from headrace.common.contracts.wording import Refused
from headrace.manager.domain import names, object_limits, quota
from headrace.manager.domain.access import Actor, lasts_too_long, latest_key_end, may, refusal, sees
from headrace.manager.domain.lifecycle.signals import signal_of
from headrace.manager.domain.paths import modified_ns, split_path
from headrace.manager.signing import SigningKey, Vault

SOMEBODY = Actor(UserId(new_uuid()), "somebody", operator=False)
OPERATOR = Actor(UserId(new_uuid()), "root", operator=True)
ROLES = get_args(Role)
amounts = st.dictionaries(st.sampled_from(["cpu", "mem", "cuda.device"]), st.integers(0, 100).map(Decimal))


def test_roles_contain_each_other() -> None:
    table = {(role, needed): may(SOMEBODY, role, needed) for role in (*ROLES, None) for needed in ROLES}
    assert {pair for pair, allowed in table.items() if allowed} == {
        ("owner", "owner"),
        ("owner", "member"),
        ("owner", "viewer"),
        ("member", "member"),
        ("member", "viewer"),
        ("viewer", "viewer"),
    }
    assert all(may(OPERATOR, role, needed) for role in (*ROLES, None) for needed in ROLES)
    assert not sees(SOMEBODY, None)
    assert sees(SOMEBODY, "viewer")
    assert sees(OPERATOR, None)
    assert (
        refusal("p", "viewer", "member")
        == "only owners and members may change things in project p; your role is viewer"
    )


NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_nobody_lets_a_key_of_his_own_last_longer_than_the_key_he_comes_with() -> None:
    comes_with = Actor(SOMEBODY.user_id, "somebody", operator=False, key_ends_at=NOW + HOUR)
    assert latest_key_end(comes_with, comes_with.user_id) == NOW + HOUR
    assert latest_key_end(comes_with, comes_with.user_id, NOW + 2 * HOUR) == NOW + 2 * HOUR, "it lasts so long already"
    assert latest_key_end(comes_with, comes_with.user_id, NOW) == NOW + HOUR
    assert latest_key_end(comes_with, OPERATOR.user_id) is None, "others' keys are an operator's to set"
    assert latest_key_end(SOMEBODY, SOMEBODY.user_id) is None, "a key without an end bounds nothing"


@pytest.mark.parametrize(
    ("asked_s", "latest", "found"),
    [
        (3600, NOW + HOUR, None),
        (3601, NOW + HOUR, "3601 s"),
        (None, NOW + HOUR, "never"),
        (None, None, None),
        (10**9, None, None),
    ],
)
def test_a_key_that_would_last_too_long_is_refused_with_how_long_it_may(
    asked_s: int | None, latest: datetime | None, found: str | None
) -> None:
    allowed = "at most 3600 s (until 2026-01-01T01:00:00Z), the end of the API key that you use"
    ends_at = None if asked_s is None else NOW + timedelta(seconds=asked_s)
    assert lasts_too_long(ends_at, latest, NOW) == (None if found is None else (found, allowed))


def test_by_a_key_that_has_just_ended_no_time_is_left_to_give() -> None:
    assert lasts_too_long(NOW + timedelta(seconds=1), NOW - HOUR, NOW) == (
        "1 s",
        "at most 0 s (until 2025-12-31T23:00:00Z), the end of the API key that you use",
    )


def test_one_more_than_a_bound_is_refused_with_how_many_are_there() -> None:
    object_limits.check("project p", "folders", 9, 10)
    for there in (10, 11):
        with pytest.raises(Conflict, match=f"project p: found {there} folders; allowed: at most 10") as refused:
            object_limits.check("project p", "folders", there, 10)
        assert refused.value.extra == {"field": "folders", "found": f"{there} folders", "allowed": "at most 10"}


@pytest.mark.parametrize(
    ("exit_code", "name"),
    [(None, None), (0, None), (128, None), (137, "SIGKILL"), (139, "SIGSEGV"), (255, "signal 127")],
)
def test_an_exit_code_above_128_stands_for_a_signal(exit_code: int | None, name: str | None) -> None:
    assert signal_of(exit_code) == name


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a", ("a",)), ("a/b/", ("a", "b")), (".hidden/...", (".hidden", "...")), ("ü/名", ("ü", "名"))],
)
def test_good_paths(path: str, expected: tuple[str, ...]) -> None:
    assert split_path(path) == expected


@pytest.mark.parametrize(
    ("most", "more", "found"),
    [
        ("n" * MAX_NAME_BYTES, "n" * (MAX_NAME_BYTES + 1), "n" * 80 + "…"),
        ("/".join("d" * MAX_DEPTH), "/".join("d" * (MAX_DEPTH + 1)), f"{MAX_DEPTH + 1} levels"),
        ("/".join(["n" * 63] * 64)[:MAX_PATH_BYTES], "ü" * MAX_PATH_BYTES, f"{2 * MAX_PATH_BYTES} bytes"),
    ],
)
def test_a_path_beyond_a_bound_is_refused_with_the_bound(most: str, more: str, found: str) -> None:
    assert "/".join(split_path(most)) == most
    with pytest.raises(InvalidRequest, match=f"path: found {re.escape(found)}; allowed: .*[0-9]+"):
        split_path(more)


@pytest.mark.parametrize("path", ["/a", "a//b", "a/../b", "..", "./a", "a\\b", "a\nb", "a\x7f"])
def test_a_path_that_could_lead_out_or_deceive_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest, match=r"path: found .*; allowed: "):
        split_path(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000", 1_700_000_000 * 10**9),
        ("1700000000.25", 1_700_000_000 * 10**9 + 250_000_000),
        ("1.1234567899", 1_123_456_789),
        ("0", None),
        ("0.5", None),
        ("-1", None),
        ("1e9", None),
        ("", None),
        ("12345678901", None),
    ],
)
def test_a_time_of_change_is_kept_to_the_nanosecond_and_nonsense_is_not(text: str, expected: int | None) -> None:
    assert modified_ns(text) == expected


@given(st.text(st.sampled_from("ab./\\\x00\n\x7f~"), max_size=12))
def test_no_path_leads_out(path: str) -> None:
    parts: tuple[str, ...] = ("refused",)
    with suppress(InvalidRequest):
        parts = split_path(path)
    assert parts
    assert all(part not in {"", ".", ".."} and not set(part) & set("/\\\x00\n\x7f") for part in parts)


def test_the_folder_itself_where_allowed() -> None:
    assert split_path("", empty=True) == ()
    assert split_path("/", empty=True) == ()
    for path in ("", "/", "\ud800"):
        with pytest.raises(InvalidRequest):
            split_path(path)


@given(amounts, amounts, amounts)
def test_quota_refuses_exactly_what_passes_a_limit(limits: quota.Slots, used: quota.Slots, more: quota.Slots) -> None:
    zero = Decimal(0)
    over = [
        slot
        for slot, asked in more.items()
        if asked > 0 and slot in limits and used.get(slot, zero) + asked > limits[slot]
    ]
    with pytest.raises(QuotaExceeded) if over else nullcontext():
        quota.check("p", limits, used, more)
    quota.check("p", None, used, more)


@pytest.mark.parametrize(
    ("limit", "used", "more", "text"),
    [
        (
            {"mem": 2**31},
            {"mem": 3 * 2**29},
            {"mem": 3 * 2**29},
            "3 GiB of mem: 1.5 GiB are held and 1.5 GiB are asked for; its limit is 2 GiB",
        ),
        (
            {"mem": 2**20},
            {"mem": 2**20},
            {"mem": 1},
            "1048577 bytes of mem: 1048576 bytes are held and 1 bytes are asked for; its limit",
        ),
        ({"cpu": 4}, {"cpu": "3.5"}, {"cpu": 1}, "4.5 of cpu: 3.5 are held and 1 are asked for; its limit is 4"),
        (
            {"cuda.device": 2},
            {"cuda.shares": "1.5"},
            {"cuda.device": 1},
            "2.5 of cuda.device and cuda.shares together: 1.5 are held and 1",
        ),
    ],
)
def test_quota_shows_its_arithmetic(
    limit: dict[str, Any], used: dict[str, Any], more: dict[str, Any], text: str
) -> None:
    one, two, three = ({name: Decimal(amount) for name, amount in slots.items()} for slots in (limit, used, more))
    with pytest.raises(QuotaExceeded, match=re.escape(text)):
        quota.check("p", one, two, three)


def test_replicas_hold_each_slot_as_often_as_there_are_replicas() -> None:
    assert quota.times({"cpu": Decimal("0.5"), "mem": Decimal(2**30)}, 3) == {"cpu": Decimal("1.5"), "mem": 3 * 2**30}
    assert quota.times({"cpu": Decimal(4)}, 0) == {"cpu": 0}


def test_a_change_of_a_quota_leaves_the_limits_that_it_does_not_name() -> None:
    four, eight, gib = Decimal(4), Decimal(8), Decimal(2**30)
    held = {"cpu": four, "mem": gib}
    assert quota.changed(held, {"cpu": eight}) == {"cpu": eight, "mem": gib}
    assert quota.changed(held, {"cpu": None}) == {"mem": gib}
    assert quota.changed(None, {"files": eight}) == {"files": eight}
    assert quota.changed(held, {}) == held
    for unlimited in (None, dict.fromkeys(held)):
        assert quota.changed(held, unlimited) is None
    with pytest.raises(Refused, match="at most 64"):
        quota.changed(held, {f"slot{n}": Decimal(1) for n in range(63)})


gpus = st.dictionaries(st.sampled_from(["cuda.device", "cuda.shares"]), st.integers(0, 5).map(Decimal))


@given(gpus, gpus, gpus)
def test_a_quota_of_gpus_cannot_be_evaded_by_the_other_way_to_ask(
    limits: quota.Slots, used: quota.Slots, more: quota.Slots
) -> None:
    with suppress(QuotaExceeded):
        quota.check("p", limits, used, more)
        asked = sum(more.values())
        if limits and asked and sum(used.values()) <= sum(limits.values()):
            assert all(
                used.get(slot, 0) + more[slot] <= limits[slot] for slot in more if more[slot] and len(limits) == 2
            )
            assert len(limits) == 2 or sum(used.values()) + asked <= sum(limits.values())


def test_reserved_names() -> None:
    assert names.why_unusable("v1")
    assert names.why_unusable("chat") is None


def test_api_keys() -> None:
    vault, key_id = Vault(b"a" * 32), KeyId(new_uuid())
    key, secret = API_KEY.new(key_id)
    assert API_KEY.parse(key) == (key_id, secret)
    assert vault.matches(secret, vault.hash(secret))
    assert not vault.matches(secret + "x", vault.hash(secret))
    assert not Vault(b"b" * 32).matches(secret, vault.hash(secret))
    for wrong in ("", "hr_", key[:-1], key + "x", key.replace("hr_", "xx_"), key.upper(), f"{key}\n"):
        assert API_KEY.parse(wrong) is None, wrong
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(b"short")


def test_sealed_values_are_bound_to_their_label() -> None:
    vault = Vault(b"a" * 32)
    sealed = vault.seal(b"value", label="one")
    assert vault.open(sealed, label="one") == b"value"
    assert vault.seal(b"value", label="one") != sealed
    for other, label in ((vault, "two"), (Vault(b"b" * 32), "one")):
        with pytest.raises(Unavailable):
            other.open(sealed, label=label)


def test_tokens_are_verified_with_the_public_key_only() -> None:
    key = SigningKey.generate()
    again = SigningKey.load(key.kid, key.private.private_bytes_raw())
    assert again.public_bytes() == key.public_bytes()
    service, token_id, now = ServiceId(new_uuid()), TokenId(new_uuid()), datetime.now(UTC)
    token = key.token(service, token_id, issued_at=now, expires_at=now + timedelta(hours=1))
    claims = jwt.decode(token, key.private.public_key(), algorithms=["EdDSA"], issuer="headrace")
    assert (claims["sub"], claims["jti"]) == (str(service), str(token_id))
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SigningKey.generate().private.public_key(), algorithms=["EdDSA"])


def test_services_are_switched_off_by_a_quota_of_none() -> None:
    starts = quota.started({"cpu": Decimal(2)}, 3)
    assert starts == {"cpu": Decimal(6), "services": Decimal(1)}
    quota.check("p", {"services": Decimal(2)}, {"services": Decimal(1)}, starts)
    for limit in (1, 0):
        with pytest.raises(QuotaExceeded, match="of services: 1 are held and 1 are asked for; its limit is"):
            quota.check("p", {"services": Decimal(limit)}, {"services": Decimal(1)}, starts)
    quota.check("p", {"services": Decimal(0)}, {"services": Decimal(4)}, quota.times({"cpu": Decimal(2)}, 3))
