"""The gate: who a caller is, what is remembered of them, and what ends that."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.auth import authenticator, credentials, signatures
from headrace.appproxy.dataplane.auth.access import Claims
from headrace.appproxy.dataplane.auth.authenticator import Authenticator
from headrace.appproxy.dataplane.auth.credentials import SignedToken
from headrace.appproxy.dataplane.inspect.model_index import PUBLIC_SCOPE, ModelIndex, ModelScope
from headrace.appproxy.dataplane.route_table import Principal, RouteEntry, RouteTables
from headrace.common.contracts.ids import ClientId, TokenId, new_uuid
from headrace.common.contracts.messages.routes import NamedClient, RateLimits, Revocation, TokenLimits
from headrace.common.contracts.problems import Forbidden, Problem, Unauthenticated
from headrace.common.contracts.reasons.proxy import ProxyReason
from tests.support.factories.route_tables import PROJECT, Signer, table

SIGNER = Signer()
SECRET = "hrc_" + "s" * 43
ROBOT = NamedClient(
    client_id=ClientId(new_uuid()),
    name="robot",
    secret_sha256=hashlib.sha256(SECRET.encode()).hexdigest(),
    limits=RateLimits(in_flight=3),
    share=5,
)
TABLE = table(open_to_public=False, token_keys=(SIGNER.public,), clients=(ROBOT,))
NOW = time.time()


def entry(**changes: object) -> RouteEntry:
    return RouteEntry(TABLE.model_copy(update=changes))


def bearer(subject: object = TABLE.service_id, **more: object) -> bytes:
    return f"Bearer {SIGNER.token(subject, **more)}".encode()  # type: ignore[arg-type]


def basic(name: str = "robot", secret: str = SECRET) -> bytes:
    return b"Basic " + base64.b64encode(f"{name}:{secret}".encode())


def reason(gate: Authenticator, where: RouteEntry, shown: bytes | None, now_s: float = NOW) -> tuple[int, str]:
    with pytest.raises((Unauthenticated, Forbidden)) as caught:
        gate.authenticate(where, shown, now_s)
    return caught.value.status, caught.value.extra["reason"]


def test_a_token_and_a_client_are_told_apart_by_their_ids() -> None:
    token_id = new_uuid()
    assert Authenticator().authenticate(entry(), bearer(token_id=token_id), NOW).key == f"token:{token_id}"
    robot = Authenticator().authenticate(entry(), basic(), NOW)
    assert robot == Principal(f"client:{ROBOT.client_id}", b"robot", RateLimits(in_flight=3), 5)
    assert robot.forward_authorization is None


def test_limits_of_a_caller_are_kept_for_each_service_and_those_of_the_public_by_address() -> None:
    token_id, other = new_uuid(), new_uuid()
    shown = bearer(TABLE.project_id, token_id=token_id)
    seen = [Authenticator().authenticate(where, shown, NOW) for where in (entry(), entry(service_id=other))]
    assert [one.bucket for one in seen] == [f"{TABLE.service_id}:token:{token_id}", f"{other}:token:{token_id}"]
    assert {one.limits_scope for one in seen} == {"service"}
    assert Authenticator().authenticate(entry(), basic(), NOW).bucket == f"{TABLE.service_id}:client:{ROBOT.client_id}"
    assert not Authenticator().authenticate(entry(open_to_public=True), None, NOW).bucket


def test_limits_of_a_projects_token_itself_are_over_the_project() -> None:
    token_id, other = new_uuid(), new_uuid()
    own = TokenLimits(token_id=TokenId(token_id), limits=RateLimits(tokens_per_day=9))
    places = [
        entry(token_limits=(own,)),
        entry(token_limits=(own,), service_id=other, caller_limits=RateLimits(in_flight=1)),
    ]
    seen = [Authenticator().authenticate(where, bearer(TABLE.project_id, token_id=token_id), NOW) for where in places]
    assert {(one.bucket, one.limits_scope) for one in seen} == {(f"{TABLE.project_id}:token:{token_id}", "project")}
    of_service = Authenticator().authenticate(places[0], bearer(token_id=token_id), NOW)
    assert (of_service.bucket, of_service.limits_scope) == (f"{TABLE.service_id}:token:{token_id}", "service")


def test_refusals() -> None:
    gate, where = Authenticator(), entry()
    revoked = new_uuid()
    gone = entry(revocations=(Revocation(token_id=TokenId(revoked), expires_at="2100-01-01T00:00:00Z"),))
    assert reason(gate, where, None) == (401, "missing-token")
    for junk in (
        b"",
        b" ",
        b"Bearer",
        b"Bearer \xff",
        b"Bearer a.b.c",
        b"Basic",
        b"Basic ####",
        b"Basic bm9jb2xvbg==",
        b"Digest x",
        b"Bearer " + b"x" * 5000,
        b"Basic " + b"QQ==" * 2000,
        b"\xff" * 10,
        b"Bearer " + b"." * 4000,
    ):
        assert reason(gate, where, junk) == (401, "malformed-token"), junk
    assert reason(gate, where, f"Bearer {Signer('other').token(TABLE.service_id)}".encode()) == (401, "unknown-key")
    assert reason(gate, where, f"Bearer {Signer().token(TABLE.service_id)}".encode()) == (401, "bad-signature")
    assert reason(gate, where, bearer(exp=NOW - 5)) == (401, "expired-token")
    assert reason(gate, where, bearer(new_uuid())) == (403, "other-service")
    assert reason(gate, gone, bearer(token_id=revoked)) == (401, "revoked-token")
    assert reason(gate, where, basic(secret=SECRET + "x")) == (401, "wrong-secret")
    assert reason(gate, where, basic(name="nobody")) == (401, "wrong-secret")
    assert reason(gate, where, basic(name="", secret="")) == (401, "wrong-secret")
    for odd in (float("nan"), float("inf"), -1, 1e300, "soon", True, [1], 10**400):
        assert reason(gate, where, bearer(exp=odd)) in {(401, "malformed-token"), (401, "expired-token")}
    assert len(where.principals) == 0, "refusals are not remembered"


def test_both_schemes_are_offered_where_there_are_clients() -> None:
    with pytest.raises(Unauthenticated) as caught:
        Authenticator().authenticate(entry(), basic(secret="wrong"), NOW)
    assert caught.value.headers["WWW-Authenticate"].startswith('Basic realm="headrace"')
    assert 'Bearer realm="headrace"' in caught.value.headers["WWW-Authenticate"]
    with pytest.raises(Unauthenticated) as caught:
        Authenticator().authenticate(entry(clients=()), None, NOW)
    assert caught.value.headers["WWW-Authenticate"] == 'Bearer realm="headrace"'


def test_a_project_token_opens_every_service_of_its_project_and_no_other() -> None:
    gate, shown = Authenticator(), bearer(PROJECT)
    assert gate.authenticate(entry(), shown, NOW).key.startswith("token:")
    assert gate.authenticate(entry(service_id=new_uuid()), shown, NOW).key.startswith("token:")
    assert reason(gate, entry(project_id=new_uuid()), shown) == (403, "other-service")


def test_limits_are_the_callers_own_or_those_of_callers_without() -> None:
    few, many = RateLimits(requests_per_second=1), RateLimits(requests_per_second=100)
    special, plain, shared = (TokenId(new_uuid()) for _ in range(3))
    own = (TokenLimits(token_id=special, limits=many, share=7), TokenLimits(token_id=shared, share=2))
    where, gate = entry(token_limits=own, caller_limits=few), Authenticator()
    seen = {name: gate.authenticate(where, bearer(token_id=name), NOW) for name in (special, plain, shared)}
    assert [(seen[name].limits, seen[name].share) for name in (special, plain, shared)] == [
        (many, 7),
        (few, 1),
        (few, 2),
    ]
    assert gate.authenticate(entry(), bearer(token_id=plain), NOW).limits is None
    assert gate.authenticate(entry(open_to_public=True, caller_limits=few), None, NOW) == Principal(
        "public", limits=few
    )


def test_a_token_s_own_word_on_its_limits_holds_until_a_table_says_otherwise() -> None:
    few, many = RateLimits(requests_per_second=1), RateLimits(in_flight=100)
    token_id, gate = TokenId(new_uuid()), Authenticator()
    shown = bearer(token_id=token_id, limits={"requests_per_second": 1}, share=7)
    first = gate.authenticate(entry(caller_limits=many), shown, NOW)
    assert (first.limits, first.share) == (few, 7)
    changed = entry(token_limits=(TokenLimits(token_id=token_id, limits=many, share=2),))
    assert (gate.authenticate(changed, shown, NOW).limits, gate.authenticate(changed, shown, NOW).share) == (many, 2)
    unlimited = entry(token_limits=(TokenLimits(token_id=token_id),))
    assert (gate.authenticate(unlimited, shown, NOW).limits, gate.authenticate(unlimited, shown, NOW).share) == (
        None,
        1,
    )
    newer = bearer(limits={"in_flight": 100, "of_a_later_version": 3})
    assert gate.authenticate(entry(), newer, NOW).limits == many


@pytest.mark.parametrize(
    "claims",
    [{"limits": 5}, {"limits": {"in_flight": 0}}, {"limits": {"in_flight": "x"}}, {"share": 0}, {"share": 1001}],
)
def test_a_token_whose_word_on_its_limits_cannot_be_read_opens_nothing(claims: dict[str, object]) -> None:
    assert reason(Authenticator(), entry(), bearer(**claims)) == (401, "malformed-token")


def test_a_hit_looks_nothing_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, where, shown = Authenticator(), entry(), [bearer(), basic()]
    first = [gate.authenticate(where, each, NOW) for each in shown]
    monkeypatch.setattr(authenticator, "parse_credential", lambda _: pytest.fail("judged again"))
    assert all(
        gate.authenticate(where, bytes(bytearray(each)), NOW) is caller
        for each, caller in zip(shown, first, strict=True)
    )


def test_expiry_between_two_hits() -> None:
    gate, where, shown = Authenticator(), entry(), bearer(exp=NOW + 10)
    gate.authenticate(where, shown, NOW + 9.9)
    assert reason(gate, where, shown, NOW + 10) == (401, "expired-token")
    assert len(where.principals) == 0
    gate.authenticate(where, shown, NOW + 9)  # a clock that was set back


def test_a_new_table_ends_what_was_remembered_but_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, tables, token_id = Authenticator(), RouteTables(), new_uuid()
    tables.apply(TABLE)
    shown = [bearer(token_id=token_id), basic()]

    def where() -> RouteEntry:
        found = tables.get(TABLE.service_id)
        assert found is not None
        return found

    for each in shown:
        gate.authenticate(where(), each, NOW)
    monkeypatch.setattr(signatures, "verify", lambda *_: pytest.fail("verified again"))
    limited = TokenLimits(token_id=TokenId(token_id), limits=RateLimits(in_flight=1))
    tables.apply(TABLE.model_copy(update={"generation": 2, "token_limits": (limited,)}))
    assert gate.authenticate(where(), shown[0], NOW).limits == RateLimits(in_flight=1)
    gone = Revocation(token_id=TokenId(token_id), expires_at="2100-01-01T00:00:00Z")
    rotated = ROBOT.model_copy(update={"secret_sha256": hashlib.sha256(b"new").hexdigest()})
    tables.apply(TABLE.model_copy(update={"generation": 3, "revocations": (gone,), "clients": (rotated,)}))
    assert reason(gate, where(), shown[0]) == (401, "revoked-token")
    assert reason(gate, where(), shown[1]) == (401, "wrong-secret")
    assert gate.authenticate(where(), basic(secret="new"), NOW).name == b"robot"
    tables.apply(TABLE.model_copy(update={"generation": 4, "token_keys": (Signer().public,), "clients": ()}))
    assert reason(gate, where(), shown[0]) == (401, "unknown-key")
    assert reason(gate, where(), basic(secret="new")) == (401, "wrong-secret")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "MAX_CALLERS", 3)
    monkeypatch.setattr(signatures, "MAX_REFUSED", 2)
    gate, public = Authenticator(remembered=2), entry(open_to_public=True)
    for number in range(10):
        gate.authenticate(public, b"Bearer engine-%d" % number, NOW)
        gate.authenticate(public, b"Bearer " + b"%d" % number * 2000, NOW)
        gate.authenticate(public, bearer(), NOW)
        gate.authenticate(public, f"Bearer {Signer().token(TABLE.service_id)}".encode(), NOW)
    assert len(public.principals) == 3
    assert all(shown is None or len(shown) <= 1024 for shown in public.principals)
    assert len(gate._signatures) == 2
    assert len(gate._signatures._refused) == 2


def test_a_public_service_refuses_nobody_and_knows_who_shows_something_valid() -> None:
    gate, public = Authenticator(), entry(open_to_public=True)
    token_id = new_uuid()
    assert gate.authenticate(public, None, NOW) == Principal("public")
    assert gate.authenticate(public, bearer(token_id=token_id), NOW).key == f"token:{token_id}"
    assert gate.authenticate(public, basic(), NOW).name == b"robot"
    assert gate.authenticate(public, bearer(exp=NOW + 5), NOW).key != "public"
    assert gate.authenticate(public, bearer(exp=NOW - 5), NOW).key == "public"


@pytest.mark.parametrize(
    "header", [b"Bearer engine-key", b"Basic dTpw", b"Digest x", b"Bearer a.b.c", b"Bearer " + b"x" * 6000]
)
def test_what_a_public_services_replica_gets(header: bytes) -> None:
    assert Authenticator().authenticate(entry(open_to_public=True), header, NOW).forward_authorization == header


def ours() -> Iterator[bytes]:
    token = bearer(new_uuid())
    yield token
    yield bearer(lasts=timedelta(days=-1))
    yield token.replace(b"Bearer", b"Token")
    yield token.partition(b" ")[2]
    yield token.replace(b" ", b"  ") + b" "
    yield f"Bearer {Signer('k9').token(TABLE.service_id)}".encode()
    yield b"BackendAI anything"
    yield b"Bearer hr_0123_key"
    yield b"Bearer " + SECRET.encode()
    yield basic(secret="mistyped")
    yield basic(name="somebody")
    yield basic(name="x", secret=token.partition(b" ")[2].decode())


@pytest.mark.parametrize("header", list(ours()))
def test_what_it_never_gets(header: bytes) -> None:
    caller = Authenticator().authenticate(entry(open_to_public=True), header, NOW)
    assert (caller.key, caller.forward_authorization) == ("public", None)


def test_unknown_names_take_the_path_of_wrong_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    real = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for shown in (basic(name="nobody"), basic(secret="wrong")):
        with pytest.raises(Unauthenticated):
            Authenticator().authenticate(entry(), shown, NOW)
    assert [tuple(map(len, pair)) for pair in compared] == [(64, 64), (64, 64)]
    assert compared[0][1] == "0" * 64


def everything_said(problem: BaseException | None) -> str:
    said = ""
    while problem is not None:
        said += f"{problem!r} {problem} {vars(problem)} {problem.args}"
        problem = problem.__cause__ or problem.__context__
    return said


@pytest.mark.parametrize("kind", ["basic", "bearer", "broken-basic", "broken-bearer"])
def test_no_secret_in_any_error_or_repr(kind: str) -> None:
    secret = "zzSECRETzz"
    shown = {
        "basic": basic(secret=secret),
        "bearer": bearer(new_uuid(), name=secret),
        "broken-basic": b"Basic " + secret.encode() + b"\xff",
        "broken-bearer": f"Bearer {secret}.{secret}.{secret}".encode(),
    }[kind]
    where = entry()
    with pytest.raises(Problem) as caught:
        Authenticator().authenticate(where, shown, NOW)
    read = credentials.parse_credential(shown)
    rest = shown.partition(b" ")[2].decode("latin-1")
    for said in (
        everything_said(caught.value),
        repr(where),
        repr(read),
        repr(Principal("x", forward_authorization=shown)),
    ):
        assert secret not in said
        assert rest not in said
        assert hashlib.sha256(secret.encode()).hexdigest() not in said


def directory(*entries: RouteEntry) -> tuple[RouteTables, ModelIndex]:
    """The tables of these services, and the names that they have."""
    tables, index = RouteTables(), ModelIndex()
    for one in entries:
        tables.apply(one.table)
        index.apply(one.table)
    return tables, index


def test_who_asks_at_the_fleets_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Authenticator()
    closed, sibling = entry(), entry(service_id=new_uuid(), clients=(), name="sibling")
    known = directory(closed, sibling, entry(service_id=new_uuid(), project_id=new_uuid(), clients=(), name="other"))
    only = ModelScope(PROJECT, frozenset({TABLE.service_id}))
    assert gate.model_scope(*known, bearer(), NOW) == only
    assert gate.model_scope(*known, basic(), NOW) == only
    assert gate.model_scope(*known, bearer(PROJECT), NOW) == ModelScope(PROJECT)
    assert gate.model_scope(*known, bearer(new_uuid()), NOW) == PUBLIC_SCOPE, (
        "of a service that is gone: it opens nothing"
    )
    assert gate.model_scope(*known, None, NOW) == ProxyReason.MISSING_TOKEN
    assert gate.model_scope(*known, b"Bearer junk", NOW) == ProxyReason.MALFORMED_TOKEN
    assert gate.model_scope(*known, bearer(lasts=timedelta(days=-1)), NOW) == ProxyReason.EXPIRED_TOKEN
    token_id = new_uuid()
    gone = Revocation(token_id=TokenId(token_id), expires_at="2100-01-01T00:00:00Z")
    revoked = directory(entry(revocations=(gone,)))
    assert gate.model_scope(*revoked, bearer(token_id=token_id), NOW) == ProxyReason.REVOKED_TOKEN
    assert gate.model_scope(*revoked, bearer(PROJECT, token_id=token_id), NOW) == ProxyReason.REVOKED_TOKEN
    verified, verify = [], signatures.verify

    def counted(token: SignedToken, key: str) -> Claims | str:
        verified.append(token)
        return verify(token, key)

    monkeypatch.setattr(signatures, "verify", counted)
    forged = f"Bearer {Signer().token(TABLE.service_id)}".encode()
    assert [gate.model_scope(*known, forged, NOW) for _ in range(3)] == ["bad-signature"] * 3
    assert len(verified) == 1, "a wrong signature is judged once, however many services there are"


def test_of_the_many_services_with_a_client_of_one_name_only_those_with_its_secret_are_looked_at() -> None:
    others = ROBOT.model_copy(update={"secret_sha256": hashlib.sha256(b"another").hexdigest()})
    many = [entry(service_id=new_uuid(), name=f"other-{n}", clients=(others,)) for n in range(50)]
    tables, index = directory(entry(), *many)
    assert [one.table.service_id for one in tables.with_client(ROBOT.name, ROBOT.secret_sha256)] == [TABLE.service_id]
    only = ModelScope(PROJECT, frozenset({TABLE.service_id}))
    assert Authenticator().model_scope(tables, index, basic(), NOW) == only
    assert Authenticator().model_scope(tables, index, basic(secret="guessed"), NOW) == ProxyReason.WRONG_SECRET
    rotated = TABLE.model_copy(update={"generation": TABLE.generation + 1, "clients": (others,)})
    assert tables.apply(rotated)
    assert tables.with_client(ROBOT.name, ROBOT.secret_sha256) == []


@given(
    st.one_of(
        st.none(),
        st.binary(max_size=200),
        st.binary(max_size=100).map(lambda b: b"Bearer " + b),
        st.binary(max_size=100).map(lambda b: b"Basic " + base64.b64encode(b)),
    )
)
def test_anything_may_come(header: bytes | None) -> None:
    gate = Authenticator()
    with pytest.raises(Unauthenticated):
        gate.authenticate(entry(), header, NOW)
    assert gate.authenticate(entry(open_to_public=True), header, NOW).key == "public"
    assert isinstance(gate.model_scope(*directory(entry()), header, NOW), str)
