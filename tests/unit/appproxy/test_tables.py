"""Tables are fenced, found and kept."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.control.tables_on_disk import TableStore
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.routes import RouteTable
from tests.support.factories.route_tables import route, table

S1, S2 = ServiceId(UUID(int=101)), ServiceId(UUID(int=102))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([S1, S2]),
            st.integers(1, 9),
            st.booleans(),
            st.sampled_from(["a", "b"]),
            st.none() | st.integers(1, 3),
        ),
        max_size=30,
    )
)
def test_the_highest_generation_rules_whatever_the_order(
    messages: list[tuple[ServiceId, int, bool, str, int | None]],
) -> None:
    tables = RouteTables()
    best: dict[ServiceId, RouteTable] = {}
    for service_id, generation, removed, name, port in messages:
        message = table(name, service_id=service_id, generation=generation, removed=removed, port=port)
        applied = tables.apply(message)
        assert applied == (generation > (best[service_id].generation if service_id in best else 0))
        if applied:
            best[service_id] = message
    living = {s: t for s, t in best.items() if not t.removed}
    assert tables.generations() == {s: t.generation for s, t in living.items()}
    for name in ("a", "b"):
        named = [s for s, t in living.items() if t.name == name]
        found = tables.by_name(name)
        assert (found.table.service_id if found else None) == (max(named) if named else None)
    for port in (1, 2, 3):
        with_port = [s for s, t in living.items() if t.port == port]
        found = tables.by_port(port)
        assert (found.table.service_id if found else None) == (max(with_port) if with_port else None)
    assert tables.ports() == {t.port for t in living.values() if t.port is not None}


def test_every_replica_is_known_with_its_service() -> None:
    tables = RouteTables()
    tables.apply(table(service_id=S1, routes=(route(1), route(2, state="draining"))))
    assert tables.sessions() == {SessionId(UUID(int=1)): S1, SessionId(UUID(int=2)): S1}


def test_tables_come_back_from_disk(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "routes"
    tables, store = RouteTables(), TableStore(folder)
    assert store.load_into(tables) == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept, gone = table("kept", service_id=S1, routes=(route(1),)), table("gone", service_id=S2)
    tables.apply(kept)
    tables.apply(gone)
    asyncio.run(store.save(tables))
    tables.apply(table("gone", service_id=S2, generation=2, removed=True))
    tables.apply(kept.model_copy(update={"generation": 2}))
    asyncio.run(store.save(tables))
    files = list(folder.iterdir())
    assert [f.name for f in files] == [f"{S1}.json"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600

    (folder / "broken.json").write_text("{")
    (folder / ".x.json.7.new").write_text("half")
    again = RouteTables()
    assert TableStore(folder).load_into(again) == 1
    assert list(again) == [kept.model_copy(update={"generation": 2})]
    assert not (folder / ".x.json.7.new").exists()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    tables, store = RouteTables(), TableStore(tmp_path)
    store.load_into(tables)
    tables.apply(table(service_id=S1))
    tables.apply(table("other", service_id=S2))
    asyncio.run(store.save(tables))
    before = {f.name: f.stat().st_ino for f in tmp_path.iterdir()}
    tables.apply(table(service_id=S1, generation=2))
    asyncio.run(store.save(tables))
    after = {f.name: f.stat().st_ino for f in tmp_path.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {f"{S1}.json"}


def test_what_is_looked_up_for_each_caller_is_worked_out_once_a_table() -> None:
    """Compiled classes work a cached property out at each look: each caller that was not seen before paid for all revocations."""
    tables = RouteTables()
    tables.apply(table("a", service_id=S1))
    entry = tables.get(S1)
    assert entry is not None
    for name in ("keys", "revoked", "clients", "token_limits", "cors"):
        assert getattr(entry, name) is getattr(entry, name), name
