"""A model's name leads to one service, the same whatever the order of tables; answers tell nothing that the caller may not know."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.domain.fleet import Index, created_s, model_page, models_page, unknown_model
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.routes import RouteTable
from tests.unit.appproxy.tables import PROJECT, table


def made(number: int, name: str, *models: str, removed: bool = False) -> RouteTable:
    return table(name, service_id=ServiceId(UUID(int=number << 80 | 7 << 76)), models=models, removed=removed)


OLD = made(1_700_000_000_000, "old", "llama", "org/shared", "new")
NEW = made(1_700_000_005_000, "new", "org/shared", "gemma", "new")


def index(*tables: RouteTable) -> Index:
    services = Index()
    for one in tables:
        services.apply(one)
    return services


@pytest.mark.parametrize("tables", [(OLD, NEW), (NEW, OLD), (NEW, OLD, NEW)])
def test_a_name_is_the_oldest_ones(tables: tuple[RouteTable, ...]) -> None:
    services = index(*tables)
    expected = {"old": OLD, "llama": OLD, "org/shared": OLD, "new": OLD, "gemma": NEW}
    assert {name: services.find(name) for name in expected} == {n: t.service_id for n, t in expected.items()}
    assert services.names(OLD.service_id) == ["old", "llama", "new", "org/shared"]
    assert services.names(NEW.service_id) == ["gemma"]
    services.removed(OLD.service_id)
    assert services.names(NEW.service_id) == ["new", "gemma", "org/shared"]
    assert services.find("llama") is None


def test_a_name_that_leads_nowhere_is_told_in_openais_words() -> None:
    assert unknown_model("gemma") == (404, {"error": {
        "message": "The model `gemma` does not exist or you do not have access to it.", "type": "invalid_request_error",
        "param": "model", "code": "model_not_found",
    }})  # fmt: skip


def test_what_is_said_of_a_name_is_bounded_and_printable() -> None:
    _, body = unknown_model("\x1b[0m\ud800\n" + "x" * 10_000)
    assert len(body["error"]["message"]) < 300
    assert body["error"]["message"].isprintable()


def test_models_are_listed_by_name() -> None:
    services = index(OLD, NEW)
    page = models_page([NEW, OLD], services)
    assert [m["id"] for m in page["data"]] == ["gemma", "llama", "new", "old", "org/shared"]
    assert page["data"][0] == {"id": "gemma", "object": "model", "created": 1_700_000_005, "owned_by": f"{PROJECT}/new"}
    assert models_page([NEW], services) == {"object": "list", "data": page["data"][:1]}
    assert model_page("gemma", [OLD, NEW], services) == page["data"][0]
    assert model_page("gemma", [OLD], services) == unknown_model("gemma")
    assert created_s(OLD.service_id) == 1_700_000_000


names = st.sampled_from(["a", "b", "c"])
tables = st.builds(
    lambda number, name, models, removed: made(number, name, *models, removed=removed),
    st.integers(1, 4), names, st.lists(names, max_size=3), st.booleans(),
)  # fmt: skip


@given(st.lists(tables, max_size=12))
def test_what_tables_came_before_does_not_matter(history: list[RouteTable]) -> None:
    services = index(*history)
    last = {t.service_id: t for t in history}
    fresh = index(*(t for t in last.values() if not t.removed))
    for name in "abc":
        assert services.find(name) == fresh.find(name)
        found = services.find(name)
        assert found is None or name in services.names(found)
    assert services._own == fresh._own
    assert services._declared == fresh._declared
