"""A model's name leads to one service of a project, the same whatever the order of tables; answers tell nothing a caller may not know."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.inspect.model_index import (
    MAX_LISTED,
    PUBLIC_SCOPE,
    ModelIndex,
    ModelScope,
    created_s,
    error,
    unknown_model,
)
from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.reasons.proxy import ModelReason
from tests.support.factories.route_tables import PROJECT, table

THEIRS = ProjectId(UUID(int=99))
MINE, OTHERS = ModelScope(PROJECT), ModelScope(THEIRS)


def made(number: int, name: str, *models: str, removed: bool = False, **more: Any) -> RouteTable:
    known: dict[str, Any] = {"project": "home", "open_to_public": False}
    return table(
        name, service_id=ServiceId(UUID(int=number << 80 | 7 << 76)), models=models, removed=removed, **(known | more)
    )


OLD = made(1_700_000_000_000, "old", "llama", "org/shared", "new")
NEW = made(1_700_000_005_000, "new", "org/shared", "gemma", "new")
FOREIGN = made(1_600_000_000_000, "chat", "llama", "gpt", project_id=THEIRS, project="acme", open_to_public=True)


def index(*tables: RouteTable) -> ModelIndex:
    services = ModelIndex()
    for one in tables:
        services.apply(one)
    return services


def listed(services: ModelIndex, principal: ModelScope) -> list[str]:
    return [model["id"] for model in json.loads(services.page(principal))["data"]]


@pytest.mark.parametrize("tables", [(OLD, NEW), (NEW, OLD), (NEW, OLD, NEW)])
def test_a_name_is_the_oldest_ones(tables: tuple[RouteTable, ...]) -> None:
    services = index(*tables)
    expected = {"old": OLD, "llama": OLD, "org/shared": OLD, "new": OLD, "gemma": NEW, "home/new": NEW}
    assert {name: services.find(MINE, name) for name in expected} == {n: t.service_id for n, t in expected.items()}
    services.removed(OLD.service_id)
    assert services.find(MINE, "new") == services.find(MINE, "org/shared") == NEW.service_id
    assert services.find(MINE, "llama") is None


def test_a_bare_name_never_leads_to_another_project() -> None:
    """A prompt that is meant for a model of one's own must not reach another tenant because that declared the model's name."""
    services = index(FOREIGN, OLD)
    assert services.find(MINE, "llama") == OLD.service_id, "though theirs is older"
    assert services.find(OTHERS, "llama") == FOREIGN.service_id
    assert services.find(MINE, "gpt") is services.find(MINE, "chat") is services.find(PUBLIC_SCOPE, "chat") is None
    assert services.find(PUBLIC_SCOPE, "gpt") is services.find(PUBLIC_SCOPE, "llama") is None
    assert services.find(MINE, "acme/chat") == services.find(PUBLIC_SCOPE, "acme/chat") == FOREIGN.service_id
    assert services.find(OTHERS, "home/old") is services.find(PUBLIC_SCOPE, "home/old") is None, "it is not public"
    services.apply(made(1, "mimic", "acme/chat"))
    assert services.find(PUBLIC_SCOPE, "acme/chat") == FOREIGN.service_id, "nor can it be declared away from others"


def test_a_token_of_one_service_opens_that_one() -> None:
    services = index(OLD, NEW, FOREIGN)
    only = ModelScope(PROJECT, frozenset({NEW.service_id}))
    assert services.find(only, "gemma") == NEW.service_id
    assert services.find(only, "llama") is None
    assert listed(services, only) == ["gemma", "acme/chat"]


def test_an_older_managers_tables_have_their_projects_id_for_its_name() -> None:
    services = index(FOREIGN.model_copy(update={"project": None}))
    assert services.find(PUBLIC_SCOPE, f"{THEIRS}/chat") == FOREIGN.service_id


def test_a_name_that_leads_nowhere_is_told_in_openais_words() -> None:
    assert error(unknown_model("gemma"), code=ModelReason.UNKNOWN_MODEL.shown) == {
        "error": {
            "message": "The model `gemma` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
    }


def test_what_is_said_of_a_name_is_bounded_and_printable() -> None:
    said = unknown_model("\x1b[0m\ud800\n" + "x" * 10_000)
    assert len(said) < 300
    assert said.isprintable()


def test_models_are_listed_by_name_ones_own_first() -> None:
    services = index(FOREIGN, OLD, NEW)
    assert listed(services, MINE) == ["gemma", "llama", "new", "old", "org/shared", "acme/chat"]
    assert listed(services, OTHERS) == ["chat", "gpt", "llama"]
    assert listed(services, PUBLIC_SCOPE) == ["acme/chat"]
    view = {"id": "gemma", "object": "model", "created": 1_700_000_005, "owned_by": "home/new"}
    assert json.loads(services.page(MINE))["data"][0] == view
    assert services.model(MINE, "gemma") == view
    assert services.model(MINE, "acme%2Fchat") == services.model(PUBLIC_SCOPE, "acme/chat")
    assert services.model(OTHERS, "gemma") is None
    assert created_s(OLD.service_id) == 1_700_000_000


def test_the_list_is_bounded_and_made_once_until_a_name_changes() -> None:
    services = index(*(made(n, f"public-{n:04}", open_to_public=True) for n in range(1, 2001)))
    page = services.page(PUBLIC_SCOPE)
    assert len(json.loads(page)["data"]) == MAX_LISTED
    assert json.loads(page)["has_more"]
    services.apply(made(7, "public-0007", open_to_public=True, generation=2, wanted=3))
    assert services.page(PUBLIC_SCOPE) is page, "a table that changes no name changes no list"
    services.apply(made(7, "public-0007", generation=3))
    assert "home/public-0007" not in listed(services, PUBLIC_SCOPE)


names = st.sampled_from(["a", "b", "c"])
tables = st.builds(
    lambda number, name, models, removed, mine, public: made(
        number,
        name,
        *models,
        removed=removed,
        open_to_public=public,
        project_id=PROJECT if mine else THEIRS,
        project="home" if mine else "acme",
    ),
    st.integers(1, 4),
    names,
    st.lists(names, max_size=3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(tables, max_size=12))
def test_what_tables_came_before_does_not_matter(history: list[RouteTable]) -> None:
    services = index(*history)
    last = {t.service_id: t for t in history}
    fresh = index(*(t for t in last.values() if not t.removed))
    for principal in (MINE, OTHERS, PUBLIC_SCOPE):
        for name in ("a", "b", "c", "home/a", "acme/b"):
            found = services.find(principal, name)
            assert found == fresh.find(principal, name)
            if found is not None:
                shown = last[found]
                assert shown.open_to_public or shown.project_id == principal.project
                assert "/" in name or shown.project_id == principal.project
        assert listed(services, principal) == listed(fresh, principal)
        assert all(services.find(principal, name) is not None for name in listed(services, principal))


@pytest.mark.parametrize(("there", "more"), [(MAX_LISTED - 1, False), (MAX_LISTED, False), (MAX_LISTED + 1, True)])
@pytest.mark.parametrize("mine", [False, True])
def test_a_list_says_that_there_are_more_only_where_there_are(*, there: int, more: bool, mine: bool) -> None:
    services = index(*(made(n, f"one-{n:04}", open_to_public=not mine) for n in range(1, there + 1)))
    page = json.loads(services.page(MINE if mine else PUBLIC_SCOPE))
    assert (len(page["data"]), page["has_more"]) == (min(there, MAX_LISTED), more)
