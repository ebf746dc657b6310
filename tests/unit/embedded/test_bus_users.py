"""The permission table and the NATS configuration made from it."""

from __future__ import annotations

import re

import pytest

from headrace.common.bus.permissions import BusUser, UserKind, embedded_users, permissions
from headrace.embedded.nats import nats_config, password_variable


def allowed(pattern: str, subject: str) -> bool:
    """NATS' matching: `*` is one token, `>` the rest."""
    tokens = [re.escape(t).replace(r"\*", "[^.]+") for t in pattern.split(".")]
    if tokens[-1] == ">":
        tokens[-1] = ".+"
    return re.fullmatch(r"\.".join(tokens), subject) is not None


def may(patterns: tuple[str, ...], subject: str) -> bool:
    return any(allowed(p, subject) for p in patterns)


AGENT = permissions(BusUser("agent-1", UserKind.AGENT, "agent-1"))


@pytest.mark.parametrize(
    "subject",
    [
        "report.agent.agent-2",
        "metrics.kernel.agent-2",
        "logs.agent.agent-2.x",
        "$JS.API.DIRECT.GET.PLANS.plan.agent.agent-2",
        "$JS.API.DIRECT.GET.PLANS",
        "$JS.API.STREAM.PURGE.PLANS",
        "plan.agent.agent-1",
        "route.1",
        "rpc.manager.scale",
        "_INBOX_manager.x",
    ],
)
def test_an_agent_may_not_publish_what_is_not_its_own(subject: str) -> None:
    assert not may(AGENT.publish, subject)


@pytest.mark.parametrize(
    "subject", ["plan.agent.agent-2", "rpc.agent.agent-2.logs", "route.1", "rules.1", "_INBOX_manager.x"]
)
def test_an_agent_may_not_hear_what_is_not_its_own(subject: str) -> None:
    assert not may(AGENT.subscribe, subject)


def test_an_agent_may_do_its_work() -> None:
    for subject in (
        "report.agent.agent-1",
        "metrics.kernel.agent-1",
        "logs.agent.agent-1.7f3",
        "$JS.API.DIRECT.GET.PLANS.plan.agent.agent-1",
    ):
        assert may(AGENT.publish, subject)
    for subject in ("plan.agent.agent-1", "rpc.agent.agent-1.logs", "_INBOX_agent-1.a.b"):
        assert may(AGENT.subscribe, subject)
    assert AGENT.allow_responses


@pytest.mark.parametrize("user", [u for u in embedded_users(3) if u.kind is not UserKind.MANAGER], ids=lambda u: u.name)
def test_no_one_but_the_manager_has_the_jetstream_api_or_all_subjects(user: BusUser) -> None:
    table = permissions(user)
    assert ">" not in table.publish + table.subscribe
    for subject in (
        "$JS.API.STREAM.DELETE.PLANS",
        "$JS.API.STREAM.PURGE.ROUTES",
        "$JS.API.CONSUMER.CREATE.PLANS",
        "$SYS.x",
    ):
        assert not may(table.publish, subject)
    for other in embedded_users(3):
        if other != user:
            assert not may(table.subscribe, f"_INBOX_{other.name}.x")


def test_the_embedded_users_have_one_name_each() -> None:
    names = [user.name for user in embedded_users(3)]
    assert sorted(names) == ["agent-1", "agent-2", "agent-3", "appproxy", "autoscaler", "manager"]


def test_the_configuration_names_every_user_and_holds_no_password() -> None:
    users = embedded_users(2)
    text = nats_config(host="127.0.0.1", port=4222, store_dir='/data/with "quotes"', users=users)
    assert text.count("user:") == len(users)
    assert r'store_dir: "/data/with \"quotes\""' in text
    assert "sync_interval: 2s" in text
    for user in users:
        assert f'user: "{user.name}", password: ${password_variable(user.name)},' in text
    assert '"plan.agent.agent-2"' in text


def test_password_variables_are_plain_names() -> None:
    assert password_variable("agent-10") == "HEADRACE_NATS_PASSWORD_AGENT_10"


def test_an_autoscaler_that_joined_reports_as_itself_only() -> None:
    joined = permissions(BusUser("as-1", UserKind.AUTOSCALER, "as-1"))
    assert may(joined.publish, "report.autoscaler.as-1")
    assert not may(joined.publish, "report.autoscaler.as-2")
    shared = permissions(BusUser("autoscaler", UserKind.AUTOSCALER))
    assert may(shared.publish, "report.autoscaler.autoscaler-2")
    for other in ("report.agent.agent-1", "report.proxy.proxy-1"):
        assert not may(joined.publish, other)
        assert not may(shared.publish, other)
