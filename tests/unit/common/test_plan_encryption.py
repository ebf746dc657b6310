"""Encryption of plans: only the agent's key opens them, only as this generation of this agent's plan, and unchanged."""

from __future__ import annotations

import base64

import pytest

from headrace.common.bus.plan_encryption import (
    PlanKey,
    PlanUnreadableError,
    encrypt,
    encrypted_size,
    recipient,
)
from headrace.common.contracts.ids import AgentId

KEY = PlanKey.generate()
ONE, OTHER = AgentId("agent-1"), AgentId("agent-2")
SECRET = b'{"r": {"environ": {"TOKEN": "hf_secret"}}}'


def encrypted() -> str:
    return encrypt(SECRET, recipient(KEY.public), agent_id=ONE, generation=7)


def test_what_is_encrypted_to_a_key_is_decrypted_by_it_and_differs_each_time() -> None:
    one, again = encrypted(), encrypted()
    assert one != again
    assert SECRET not in base64.b64decode(one)
    assert KEY.decrypt(one, agent_id=ONE, generation=7) == SECRET
    assert PlanKey.load(KEY.private_bytes()).decrypt(again, agent_id=ONE, generation=7) == SECRET


@pytest.mark.parametrize(
    ("key", "agent_id", "generation"),
    [(PlanKey.generate(), ONE, 7), (KEY, OTHER, 7), (KEY, ONE, 8)],
    ids=["another key", "another agent", "another generation"],
)
def test_nothing_else_decrypts_it(key: PlanKey, agent_id: AgentId, generation: int) -> None:
    with pytest.raises(PlanUnreadableError, match=f"generation {generation} is not encrypted to its key") as error:
        key.decrypt(encrypted(), agent_id=agent_id, generation=generation)
    assert "hf_secret" not in str(error.value)


def test_what_was_changed_on_the_way_is_found_whichever_bit_it_is() -> None:
    data = base64.b64decode(encrypted())
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(PlanUnreadableError):
            KEY.decrypt(base64.b64encode(changed).decode(), agent_id=ONE, generation=7)
    for text in ("", "no base64", encrypted()[:-8]):
        with pytest.raises(PlanUnreadableError):
            KEY.decrypt(text, agent_id=ONE, generation=7)


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)], ids=["0", "1"])
def test_a_key_of_which_the_shared_secret_is_known_to_all_is_refused(point: bytes) -> None:
    with pytest.raises(ValueError, match="nothing can be encrypted to the plan key"):
        recipient(base64.urlsafe_b64encode(point).decode().rstrip("="))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 100_001])
def test_the_size_that_is_foreseen_is_not_exceeded(size: int) -> None:
    made = encrypt(bytes(size), recipient(KEY.public), agent_id=ONE, generation=1)
    assert len(f'"encrypted_specs":"{made}",') <= encrypted_size(size)
