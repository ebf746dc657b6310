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
from headrace.common.contracts.problems import InvalidRequest, QuotaExceeded, Unavailable
from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain import names, quota
from headrace.manager.domain.access import Actor, may, refusal, sees
from headrace.manager.domain.paths import split_path
from headrace.manager.signing import SigningKey, Vault, new_api_key, parse_api_key

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


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a", ("a",)), ("a/b/", ("a", "b")), (".hidden/...", (".hidden", "...")), ("ü/名", ("ü", "名"))],
)
def test_good_paths(path: str, expected: tuple[str, ...]) -> None:
    assert split_path(path) == expected


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
    key, secret = new_api_key(key_id)
    assert parse_api_key(key) == (key_id, secret)
    assert vault.matches(secret, vault.hash(secret))
    assert not vault.matches(secret + "x", vault.hash(secret))
    assert not Vault(b"b" * 32).matches(secret, vault.hash(secret))
    for wrong in ("", "hr_", key[:-1], key + "x", key.replace("hr_", "xx_"), key.upper(), f"{key}\n"):
        assert parse_api_key(wrong) is None, wrong
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
