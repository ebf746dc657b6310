"""Every case of the corpus through the proxy: refused whole, or passed with exactly one reading."""

from __future__ import annotations

import pytest

from tests.integration.appproxy.smuggling.corpus import GROUPS
from tests.integration.appproxy.smuggling.judge import faults, outcome
from tests.integration.appproxy.smuggling.recorder import recorder
from tests.support.factories.route_tables import route, table
from tests.support.worlds.appproxy import AppProxyWorld


@pytest.mark.parametrize("group", GROUPS)
async def test_bytes_are_refused_or_passed_with_one_reading(world: AppProxyWorld, group: str) -> None:
    async with recorder() as backend:
        world.apply(table("chat", routes=(route(port=backend.port),)))
        wrong: list[str] = []
        for case in GROUPS[group]:
            came = await outcome(case, world.port, backend)
            if found := faults(case, came):
                wrong.append(f"{case.id} ({case.why}): {'; '.join(found)}\n    {came.summary}")
        assert not wrong, f"{len(wrong)} of {len(GROUPS[group])}:\n" + "\n".join(wrong)
