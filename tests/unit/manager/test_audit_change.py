"""What the audit log keeps of a change: the difference of two states, bounded, of allow-lists without secrets."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.manager.domain import audit_states
from headrace.manager.domain.audit_change import MAX_DOCUMENT_BYTES, MAX_TEXT, bounded, change_of
from headrace.manager.domain.audit_states import KeyState, ProjectState, State, UserState
from headrace.manager.usecases import context

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=1_500),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=200), inner, max_size=5),
    max_leaves=8,
)
STATES = [one for one in vars(audit_states).values() if isinstance(one, type) and issubclass(one, State)]


def size(document: object) -> int:
    """Bytes as JSON."""
    return len(json.dumps(document, ensure_ascii=False).encode())


@dataclass(frozen=True)
class Row:
    """A record with more than is kept."""

    name: str
    operator: bool
    secret_hash: bytes


def test_what_was_not_there_and_what_is_gone_are_told_whole() -> None:
    key = KeyState(name="ci", read_only=True)
    whole = {"name": "ci", "expires_at": None, "read_only": True, "projects": None}
    assert vars(change_of(None, key)) == {"before": None, "after": whole}
    assert vars(change_of(key, None)) == {"before": whole, "after": None}
    assert vars(change_of(None, None)) == {"before": None, "after": None}


def test_of_a_change_only_what_differs_is_kept_also_within_documents() -> None:
    before = ProjectState(name="red", description="a", quota={"cpu": Decimal(1), "mem": Decimal(2)})
    after = ProjectState(name="red", description="a", quota={"cpu": Decimal(1), "cuda": Decimal(4)})
    change = change_of(before, after)
    assert (change.before, change.after) == ({"quota": {"mem": "2"}}, {"quota": {"cuda": "4"}})
    assert vars(change_of(after, after)) == {"before": {}, "after": {}}


def test_a_field_that_no_class_names_is_not_kept() -> None:
    kept = UserState.of(Row("ann", operator=False, secret_hash=b"x")).model_dump()
    assert (kept["name"], kept["operator"], "secret_hash" in kept) == ("ann", False, False)
    with pytest.raises(ValueError, match="secret_hash"):
        UserState(name="ann", operator=False, secret_hash=b"x")  # type: ignore[call-arg]  # that is the point


@pytest.mark.parametrize("kind", STATES, ids=lambda kind: kind.__name__)
def test_no_state_can_hold_a_credential(kind: type[State]) -> None:
    """Keys, hashes and sealed values are bytes, credentials text of these names."""
    hints = typing.get_type_hints(kind)
    for name in kind.model_fields:
        assert bytes not in _parts(hints[name]), name
        of_webhook = (kind.__name__, name) == ("WebhookState", "secret")  # the name of a secret
        assert of_webhook or name not in {"key", "token", "secret", "value", "hash", "code", "digest"}
        assert name != "password" or hints[name] is bool


def test_long_texts_are_cut_and_the_largest_fields_left_out_which_is_told() -> None:
    kept = bounded({"a": "x" * (MAX_TEXT + 1), "b": {"c": ["y" * MAX_TEXT]}})
    assert kept == {"a": "x" * MAX_TEXT + f"… ({MAX_TEXT + 1} characters)", "b": {"c": ["y" * MAX_TEXT]}}
    large = {str(number): "z" * 900 for number in range(20)}
    assert bounded({"name": "chat", "environ": large}) == {"name": "chat", "environ": f"left out: {size(large)} bytes"}


def test_too_many_fields_are_told_by_their_number() -> None:
    kept = bounded({f"{number}" * 20: number for number in range(1000, 1400)})
    assert (kept["left out"], len(kept["first"])) == ("400 fields", 10)


@given(st.dictionaries(st.text(max_size=300), JSON, max_size=12))
def test_whatever_it_is_it_is_bounded_and_what_is_small_stays_as_it_is(document: Mapping[str, Any]) -> None:
    kept = bounded(document)
    assert size(kept) <= MAX_DOCUMENT_BYTES
    if size(document) <= MAX_TEXT:
        assert kept == document


def _parts(hint: Any) -> set[Any]:
    """A type, and the types it is made of."""
    inner = typing.get_args(hint) if not isinstance(hint, types.UnionType) else hint.__args__
    return {hint}.union(*map(_parts, inner)) if inner else {hint}


def test_use_cases_record_changes_by_one_function() -> None:
    """It asks for the states before and after; creations of services have them in the statement that creates (`services.create`)."""
    folder = Path(context.__file__).parent
    assert [file.name for file in sorted(folder.glob("*.py")) if "events.record(" in file.read_text()] == ["context.py"]
