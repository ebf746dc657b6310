"""Secrets of a revision: which version each reference leads to, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.common.contracts.ids import SecretId, new_uuid
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.secret import PinnedSecret, checked_value
from headrace.common.contracts.wording import Refused
from headrace.manager.domain.definitions.service_definition import ServiceDefaults
from headrace.manager.domain.records.secrets import KnownSecret
from headrace.manager.domain.secret_pins import (
    NAMED,
    asked_secrets,
    names_in_words,
    pinned,
    refreshed,
    registry_login,
)
from headrace.manager.domain.variants.inputs import Inputs
from headrace.manager.domain.variants.resolve import resolve

HUB, ROBOT = SecretId(new_uuid()), SecretId(new_uuid())
KNOWN = {
    "hub": KnownSecret(HUB, "hub", 3, {1: 10, 2: 20, 3: 30}),
    "robot": KnownSecret(ROBOT, "robot", 1, {1: 5}),
}


def pins(before: tuple[PinnedSecret, ...] = (), defaults: ServiceDefaults | None = None, **spec: Any) -> list[str]:
    """Return the secrets of a spec as text."""
    found = pinned(asked_secrets(RevisionSpec(**spec), defaults), KNOWN, before, "some")
    return [
        f"{pin.use} {pin.variable} {pin.name} {pin.version}{' fixed' if pin.fixed else ''}" for pin in found.secrets
    ]


def pin(version: int, *, fixed: bool = False, secret_id: SecretId = HUB) -> PinnedSecret:
    return PinnedSecret(use="variable", variable="OLD", secret_id=secret_id, name="hub", version=version, fixed=fixed)


def test_a_new_revision_gets_the_newest_version_or_the_one_that_is_named() -> None:
    asked: dict[str, Any] = {"secret_environ": {"A": "hub", "B": "hub@1"}, "pull_secret": "robot"}
    assert pins(**asked) == ["variable A hub 3", "variable B hub 1 fixed", "registry  robot 1"]


def test_a_changed_revision_keeps_the_versions_that_it_has() -> None:
    asked: dict[str, Any] = {"secret_environ": {"A": "hub", "B": "robot"}}
    assert pins((pin(2),), **asked) == ["variable A hub 2", "variable B robot 1"]
    assert pins((pin(1, fixed=True),), **asked)[0] == "variable A hub 3", "a version was named there, and is no more"
    assert pins((pin(2, secret_id=SecretId(new_uuid())),), **asked)[0] == "variable A hub 3", (
        "another secret of that name"
    )
    gone = {"hub": KnownSecret(HUB, "hub", 3, {3: 30})}
    kept = pinned(asked_secrets(RevisionSpec(secret_environ={"A": "hub"}), None), gone, (pin(2),), "some")
    assert kept.secrets[0].version == 3, "what is not kept any more cannot be"


def test_a_refresh_takes_the_newest_but_for_versions_that_are_named() -> None:
    before = (
        pin(1),
        pin(2, fixed=True),
        PinnedSecret(use="registry", secret_id=ROBOT, name="robot", version=1),
    )
    found = pinned(refreshed(before), KNOWN, (), "some").secrets
    assert [(one.use, one.version, one.fixed) for one in found] == [
        ("variable", 3, False),
        ("variable", 2, True),
        ("registry", 1, False),
    ]


def test_every_reference_that_leads_nowhere_is_named_with_what_there_is() -> None:
    asked: dict[str, Any] = {"secret_environ": {"A": "none", "B": "hub@7"}, "pull_secret": "gone"}
    with pytest.raises(InvalidRequest) as refused:
        pins(**asked)
    assert [(row["field"], row["found"], row["allowed"]) for row in refused.value.extra["errors"]] == [
        ("secret_environ.A", "none", "some"),
        ("secret_environ.B", "hub@7", "a version that is kept: 3, 2, 1"),
        ("pull_secret", "gone", "some"),
    ]
    many = KnownSecret(HUB, "hub", 30, dict.fromkeys(range(1, 31), 1))
    with pytest.raises(InvalidRequest) as refused:
        pinned(asked_secrets(RevisionSpec(pull_secret="hub@99"), None), {"hub": many}, (), "")
    assert refused.value.extra["errors"][0]["allowed"].endswith(", 11, …")
    assert names_in_words([], "p").endswith("project p, which has none")
    assert names_in_words(["a", "b"], "p") == "a secret of project p: a, b"
    assert names_in_words([f"s{n}" for n in range(NAMED + 1)], "p").endswith(", …")


def test_what_a_request_says_of_a_variable_wins_over_the_file() -> None:
    defaults = ServiceDefaults(secret_environ={"A": "hub", "B": "hub", "C": "hub@2"}, environ={"D": "x", "E": "y"})
    spec = RevisionSpec(runtime="cmd", image="i", environ={"A": "plain"}, secret_environ={"B": "robot", "D": "robot"})
    found = pinned(asked_secrets(spec, defaults), KNOWN, (), "some")
    assert [(one.variable, one.name) for one in found.secrets] == [("C", "hub"), ("B", "robot"), ("D", "robot")]
    made = resolve(spec, Inputs("chat", defaults=defaults, pins=found)).spec
    assert made.environ == {"A": "plain", "E": "y"}
    assert made.secrets == found.secrets
    assert made.secret_bytes == 20 + 5 + 5 + 3 * len('B"":,')


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"environ": {"A": "x"}, "secret_environ": {"A": "hub"}}, "secret_environ.A"),
        ({"secret_environ": {"HEADRACE_PORT": "hub"}}, "secret_environ.HEADRACE_PORT"),
    ],
)
def test_a_variable_has_one_source_and_none_of_headraces_names(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        resolve(RevisionSpec(runtime="cmd", image="i", **spec), Inputs("chat"))
    assert [row["field"] for row in refused.value.extra["errors"]] == [field]


def test_the_values_of_secrets_count_as_the_rest_of_a_spec() -> None:
    big = {"hub": KnownSecret(HUB, "hub", 1, {1: 40_000})}
    spec = RevisionSpec(runtime="cmd", image="i", secret_environ={"A": "hub", "B": "hub"})
    found = pinned(asked_secrets(spec, None), big, (), "some")
    with pytest.raises(InvalidRequest) as refused:
        resolve(spec, Inputs("chat", pins=found))
    assert refused.value.extra["errors"][0]["field"] == "secret_environ"


@pytest.mark.parametrize(
    ("value", "login"),
    [
        ("robot:pass:word", ("robot", "pass:word")),
        ("robot:pass\n", ("robot", "pass")),
        ("robot", None),
        (":pass", None),
        ("robot:", None),
        ("robot:pass\nmore", None),
    ],
)
def test_a_login_of_a_registry_is_user_and_password(value: str, login: tuple[str, str] | None) -> None:
    assert registry_login(value) == login


@pytest.mark.parametrize("value", ["", "é" * 16_385, "a\x00", "a\ud800", 5, None, ["a"]])
def test_a_value_is_text_of_a_bounded_size_and_is_not_in_the_refusal(value: object) -> None:
    with pytest.raises(Refused) as refused:
        checked_value(value)
    assert refused.value.found in {
        "0 bytes",
        "32770 bytes",
        "a NUL character",
        "text that has no UTF-8 form",
        "something other than text",
    }
    assert checked_value("x" * 32_768)
