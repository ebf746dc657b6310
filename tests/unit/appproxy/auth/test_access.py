"""Whether a table takes rights away that the one before gave."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.appproxy.dataplane.auth.access import revokes_access
from headrace.common.contracts.ids import ClientId, TokenId, new_uuid
from headrace.common.contracts.messages.routes import NamedClient, Revocation
from headrace.common.runtime.clock import utc_now
from tests.support.factories.route_tables import Signer, route, table

KEY, OTHER_KEY = Signer("k1").public, Signer("k2").public
REVOKED, OTHER = (Revocation(token_id=TokenId(new_uuid()), expires_at=utc_now()) for _ in range(2))
ROBOT = NamedClient(client_id=ClientId(new_uuid()), name="robot", secret_sha256="0" * 64)
ROTATED = ROBOT.model_copy(update={"secret_sha256": "1" * 64})
NEWER = ROBOT.model_copy(update={"name": "newer"})
GIVEN: dict[str, Any] = {"token_keys": (KEY,), "revocations": (REVOKED,), "clients": (ROBOT,)}


@pytest.mark.parametrize(
    ("more", "taken"),
    [
        ({}, False),
        ({"routes": (route(),), "wanted": 3}, False),
        ({"revocations": (OTHER, REVOKED)}, True),
        ({"revocations": (OTHER,)}, True),
        ({"revocations": ()}, False),
        ({"token_keys": (OTHER_KEY, KEY)}, False),
        ({"token_keys": (OTHER_KEY,)}, True),
        ({"clients": (NEWER, ROBOT)}, False),
        ({"clients": ()}, True),
        ({"clients": (ROTATED,)}, True),
        ({"clients": (ROBOT.model_copy(update={"share": 9}),)}, False),
        ({"open_to_public": True}, False),
    ],
)
def test_a_table_takes_rights_away(more: dict[str, Any], *, taken: bool) -> None:
    before = table(open_to_public=False, **GIVEN)
    assert revokes_access(before, before.model_copy(update=more)) is taken


def test_a_service_that_is_public_no_more_takes_rights_away() -> None:
    assert revokes_access(table(), table(open_to_public=False))
    assert not revokes_access(table(), table())
