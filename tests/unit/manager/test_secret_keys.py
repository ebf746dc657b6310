"""Encryption of secrets: what is stored is bound to its secret and version, and a rotation of the key loses nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from headrace.common.contracts.ids import SecretId, new_uuid
from headrace.common.contracts.problems import Unavailable
from headrace.common.runtime.secrets_keys import new_secrets_key
from headrace.manager.secret_keys import SecretKeys
from tests.support.factories.settings import manager_settings

ROOT = bytes(range(32))
ONE, OTHER = SecretId(new_uuid()), SecretId(new_uuid())
VALUE = "hf_süß\n"


def test_a_value_is_read_by_its_own_secret_and_version_only() -> None:
    keys = SecretKeys(ROOT, ())
    sealed = keys.seal(VALUE, ONE, 1)
    assert keys.open(sealed, ONE, 1) == VALUE
    assert VALUE.encode() not in sealed.value + sealed.data_key
    assert "hf_" not in repr(sealed)
    for secret_id, version in ((ONE, 2), (OTHER, 1)):
        with pytest.raises(Unavailable) as refused:
            keys.open(sealed, secret_id, version)
        assert "hf_" not in refused.value.detail
    assert keys.seal(VALUE, ONE, 1).value != sealed.value, "equal values do not look equal"


@pytest.mark.parametrize("part", ["value", "data_key"])
def test_what_was_changed_in_the_database_is_refused(part: str) -> None:
    keys = SecretKeys(ROOT, ())
    sealed = keys.seal(VALUE, ONE, 1)
    with pytest.raises(Unavailable):
        keys.open(replace(sealed, **{part: getattr(sealed, part)[:-1] + b"\x00"}), ONE, 1)


def test_a_rotation_of_the_key_changes_data_keys_and_no_value() -> None:
    new = new_secrets_key()
    before = SecretKeys(ROOT, ()).seal(VALUE, ONE, 1)
    aware = SecretKeys(ROOT, ("secret-key", new))
    using = SecretKeys(ROOT, (new, "secret-key"))
    done = SecretKeys(ROOT, (new,))
    assert (aware.current, using.current, using.former, done.former) == (
        "secret-key",
        new.partition(":")[0],
        ("secret-key",),
        (),
    )
    written = using.seal(VALUE, OTHER, 3)
    assert aware.open(written, OTHER, 3) == VALUE, (
        "a manager that has not read the next step can read what others write"
    )
    after = using.rewrapped(before, ONE, 1)
    assert (after.value, after.key_id) == (before.value, using.current)
    assert done.open(after, ONE, 1) == VALUE
    with pytest.raises(Unavailable, match="the key secret-key"):
        done.open(before, ONE, 1)
    with pytest.raises(Unavailable):
        SecretKeys(bytes(32), (new, "secret-key")).rewrapped(before, ONE, 1)


@pytest.mark.parametrize(
    "keys",
    [
        ("secret-key", "secret-key"),
        ("0123456789abcdef:00",),
        ("x" * 81,),
        ("secret",),
        tuple(new_secrets_key() for _ in range(11)),
    ],
)
def test_keys_of_another_form_are_refused_without_being_shown(keys: tuple[str, ...], tmp_path: object) -> None:
    with pytest.raises(ValidationError) as refused:
        manager_settings(tmp_path, secrets_keys=keys)  # type: ignore[arg-type]
    (error,) = refused.value.errors()
    assert error["loc"] == ("secrets_keys",)
    assert "found something else" in error["msg"] or error["type"] == "too_long"
