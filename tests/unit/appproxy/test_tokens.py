"""Tokens: every way to be wrong has its code, and what can change is looked at on every request."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from headrace.appproxy.table import Entry
from headrace.appproxy.tokens import TokenGate
from headrace.common.contracts.ids import TokenId, new_uuid
from headrace.common.contracts.messages.routes import Revocation
from headrace.common.contracts.problems import Forbidden, Unauthenticated
from tests.unit.appproxy.tables import Signer, table

SIGNER = Signer()
TABLE = table(open_to_public=False, token_keys=(SIGNER.public,))
ENTRY = Entry(TABLE)
NOW = datetime.now(UTC)
SERVICE = TABLE.service_id


def why(
    authorization: list[str], entry: Entry = ENTRY, gate: TokenGate | None = None, now: datetime | None = None
) -> tuple[int, str]:
    try:
        (gate or TokenGate()).check(entry, authorization, now or datetime.now(UTC))
    except (Unauthenticated, Forbidden) as problem:
        return problem.status, problem.extra["reason"]
    return 200, ""


@pytest.mark.parametrize("scheme", ["Bearer", "BackendAI", "bearer", "BACKENDAI"])
def test_both_schemes_open(scheme: str) -> None:
    assert why([f"{scheme} {SIGNER.token(SERVICE)}"]) == (200, "")


def hs256() -> str:
    """The classic confusion: the public key as the secret of a symmetric algorithm."""
    claims = {"iss": "headrace", "sub": str(SERVICE), "jti": str(new_uuid()), "exp": NOW.timestamp() + 60}
    return jwt.encode(claims, SIGNER.public.public_key, algorithm="HS256", headers={"kid": "k1"})


def unsigned() -> str:
    head, body, _ = SIGNER.token(SERVICE).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "k1"}).encode()).decode().rstrip("=")
    return f"{head}.{body}."


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_codes() -> None:
    good = SIGNER.token(SERVICE)
    head, body, signature = good.split(".")
    cases = {
        (): (401, "missing-token"),
        ("",): (401, "malformed-token"),
        ("Basic dTpw",): (401, "wrong-secret"),
        ("Digest dTpw",): (401, "malformed-token"),
        ("Bearer",): (401, "malformed-token"),
        ("Bearer a.b.c",): (401, "malformed-token"),
        ("Bearer " + "x" * 5000,): (401, "malformed-token"),
        ("Bearer \udcff",): (401, "malformed-token"),
        (f"Bearer {good}", f"Bearer {good}"): (401, "malformed-token"),
        (f"Bearer {Signer('k2').token(SERVICE)}",): (401, "unknown-key"),
        (f"Bearer {Signer('k1').token(SERVICE)}",): (401, "bad-signature"),
        (f"Bearer {head}.{body}.{signature[:-4]}AAAA",): (401, "bad-signature"),
        (f"Bearer {SIGNER.token(SERVICE, lasts=timedelta(minutes=-5))}",): (401, "expired-token"),
        (f"Bearer {SIGNER.token(new_uuid())}",): (403, "other-service"),
        (f"Bearer {SIGNER.token(SERVICE, iss='somebody')}",): (401, "malformed-token"),
        (f"Bearer {SIGNER.token(SERVICE, exp=None)}",): (401, "malformed-token"),
        (f"Bearer {SIGNER.token(SERVICE, jti='7')}",): (401, "malformed-token"),
        (f"Bearer {SIGNER.token(SERVICE, exp=1e300)}",): (401, "malformed-token"),
        (f"Bearer {hs256()}",): (401, "malformed-token"),
        (f"Bearer {unsigned()}",): (401, "malformed-token"),
    }
    assert {given: why(list(given)) for given in cases} == cases


def test_expiry_revocation_and_key_are_looked_at_although_the_token_is_remembered() -> None:
    gate, token_id = TokenGate(), new_uuid()
    given = [f"Bearer {SIGNER.token(SERVICE, token_id=token_id)}"]
    assert why(given, gate=gate) == (200, "")
    assert why(given, gate=gate, now=NOW + timedelta(hours=2)) == (401, "expired-token")
    gone = Revocation(token_id=TokenId(token_id), expires_at=NOW)
    assert why(given, Entry(TABLE.model_copy(update={"revocations": (gone,)})), gate) == (403, "revoked-token")
    assert why(given, Entry(TABLE.model_copy(update={"token_keys": (Signer("k1").public,)})), gate) == (
        401,
        "unknown-key",
    )
    assert why(given, Entry(TABLE.model_copy(update={"service_id": new_uuid()})), gate) == (403, "other-service")


def test_memory_is_bounded() -> None:
    gate = TokenGate(remembered=3)
    for _ in range(10):
        assert why([f"Bearer {SIGNER.token(SERVICE)}"], gate=gate) == (200, "")
    assert len(gate._gate._signatures) == 3


def test_public_services_ignore_tokens_and_pass_on_only_what_is_not_ours() -> None:
    public = Entry(TABLE.model_copy(update={"open_to_public": True}))
    gate = TokenGate()
    ours = f"Bearer {SIGNER.token(new_uuid())}"
    assert why(["Bearer nonsense"], public) == (200, "")
    assert gate.for_replica([ours], open_to_public=True) is None
    assert gate.for_replica(["BackendAI x"], open_to_public=True) is None
    assert gate.for_replica(["Bearer engine-key"], open_to_public=True) == "Bearer engine-key"
    assert gate.for_replica(["Basic dTpw"], open_to_public=True) == "Basic dTpw"
    nested = base64.urlsafe_b64encode(b"[" * 20_000).decode().rstrip("=")
    assert gate.for_replica([f"Bearer a.{nested}.c"], open_to_public=True) == f"Bearer a.{nested}.c"
    assert gate.for_replica(["Bearer engine-key"], open_to_public=False) is None
    assert gate.for_replica([], open_to_public=True) is None
