"""Nothing by which a caller could claim to be somebody reaches a replica, nor a credential of ours, wherever it is put."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.headers.identity import (
    holds_credential,
    is_identity_field,
    is_login_cookie,
    without_credentials,
)
from headrace.appproxy.dataplane.headers.subprotocols import parse_offer
from headrace.common.contracts.ids import new_uuid
from tests.support.factories.route_tables import Signer

TOKEN = Signer().token(new_uuid()).encode()
SECRET = b"hrc_" + b"s" * 43
FOREIGN = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()) for part in ({"alg": "x"}, {"iss": "sso"}, {}))


@pytest.mark.parametrize(
    "name",
    [
        "Client-IP",
        "X-Client-IP",
        "True-Client-IP",
        "Fastly-Client-IP",
        "Fly-Client-IP",
        "X-Azure-ClientIP",
        "X-Azure-SocketIP",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "Cf-Access-Authenticated-User-Email",
        "Cf-Access-Jwt-Assertion",
        "X-Original-URL",
        "X-Original-URI",
        "X-Original-Forwarded-For",
        "X-Rewrite-URL",
        "X-Envoy-External-Address",
        "X-Envoy-Original-Path",
        "X-MS-Client-Principal",
        "X-MS-Client-Principal-Name",
        "X-MS-Token-AAD-Id-Token",
        "X-Goog-Authenticated-User-Email",
        "X-Goog-IAP-JWT-Assertion",
        "X-Appengine-User-Email",
        "X-Amzn-Oidc-Identity",
        "X-Amzn-Mtls-Clientcert",
        "X-ARR-ClientCert",
        "X-SSL-Client-DN",
        "SSL-Client-Verify",
        "Ssl-Client-Subject-Dn",
        "X-Client-Cert",
        "Client-Cert",
        "Client-Cert-Chain",
        "X-Tls-Client-Subject",
        "Remote-User",
        "X-Remote-Addr",
        "X-Consumer-Username",
        "X-Credential-Identifier",
        "X-Userinfo",
        "X-Authenticated-Userid",
        "X-authentik-username",
        "X-Pomerium-Claim-Email",
        "X-Vouch-User",
        "OIDC_CLAIM_email",
        "X_User",
        "WL-Proxy-Client-IP",
        "Proxy-Client-IP",
        "HTTP_CLIENT_IP",
        "X-Forwarded-Client-Cert",
        "Tailscale-User-Login",
        "Front-End-Https",
        "Kubeflow-UserID",
        "X-User-Email",
        "X-ProxyUser-Ip",
        "X-Originating-IP",
        "X-Real-IP",
        "X-WebAuth-User",
        "X-Auth-Request-Email",
    ],
)
def test_fields_that_say_who_somebody_is_are_known(name: str) -> None:
    assert is_identity_field(name.lower().encode())


@pytest.mark.parametrize(
    "name",
    [
        "Accept",
        "Content-Type",
        "OpenAI-Organization",
        "Anthropic-Version",
        "X-Stainless-Lang",
        "X-Session-Id",
        "X-Custom",
        "User-Agent",
        "Origin",
        "Cookie",
        "X-Client-Version",
        "X-Client-Request-Id",
        "X-User-Preference",
        "X-Request-Start",
        "Client-Hints",
    ],
)
def test_others_pass(name: str) -> None:
    assert not is_identity_field(name.lower().encode())


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        SECRET,
        b"hr_" + b"a" * 40,
        b"Bearer " + TOKEN,
        b"session=1; token=" + SECRET + b"; x=2",
        b'{"key":"' + TOKEN + b'"}',
        b"headrace.token." + TOKEN,
        b"openai-insecure-api-key." + SECRET,
        b"eyJ, " + TOKEN,
    ],
)
def test_ours_is_found_wherever_it_stands(value: bytes) -> None:
    assert holds_credential(value)


@pytest.mark.parametrize(
    "value", [b"", b"hr_", b"hr_theme=dark", b"sk-abc", FOREIGN, b"eyJ.eyJ.eyJ", b"chr_" + b"a" * 40]
)
def test_what_is_not_ours_is_left_alone(value: bytes) -> None:
    assert not holds_credential(value)


def test_of_cookies_only_those_with_ours_are_taken_out() -> None:
    assert without_credentials(b"a=1; t=" + TOKEN + b"; b=2") == b"a=1; b=2"
    assert without_credentials(b"t=" + SECRET) == b""


@given(st.binary(max_size=200))
def test_nothing_raises(value: bytes) -> None:
    holds_credential(value)
    without_credentials(value)
    parse_offer([value, b"headrace.token." + value])


@pytest.mark.parametrize(
    ("values", "shown", "passing", "answer"),
    [
        ([], None, b"", b""),
        ([b"v1, v2"], None, b"v1, v2", b""),
        ([b"headrace"], None, b"headrace", b""),
        ([b"headrace, headrace.token.T"], b"Bearer T", b"", b"headrace"),
        ([b"headrace.token.T"], b"Bearer T", b"", b"headrace.token.T"),
        (
            [b"realtime, openai-insecure-api-key." + TOKEN],
            b"Bearer " + TOKEN,
            b"realtime",
            b"openai-insecure-api-key." + TOKEN,
        ),
        ([b"realtime, openai-insecure-api-key.sk-1"], None, b"realtime, openai-insecure-api-key.sk-1", b""),
        ([b"v1", b"headrace.token.T, v2,headrace"], b"Bearer T", b"v1, v2", b"headrace"),
    ],
)
def test_a_token_by_subprotocol(values: list[bytes], shown: bytes | None, passing: bytes, answer: bytes) -> None:
    offer = parse_offer(values)
    field = b"Sec-WebSocket-Protocol: " + passing if passing else b""
    assert (offer.authorization, offer.forwarded, offer.answer) == (shown, field, answer)


@given(st.text(alphabet=" ;=,.%/hrceyJ_", max_size=12), st.sampled_from([TOKEN, SECRET, TOKEN.split(b".")[1]]))
def test_ours_is_found_behind_whatever_ends_a_word(before: str, ours: bytes) -> None:
    assert holds_credential(before.encode() + b" " + ours)
    assert holds_credential(ours + b";" + before.encode())


@pytest.mark.parametrize(
    ("cookies", "left"),
    [
        (b"a=1; __Host-headrace_login=x; b=2", b"a=1; b=2"),
        (b"headrace_login=x", b""),
        (b"headrace_login = x ; a=1", b"a=1"),
        (b"=headrace_login=x; a=1", b"a=1"),
        (b"headrace_login; a=1", b"a=1"),
        (b"headrace_logins=x; my_headrace_login=y", b"headrace_logins=x; my_headrace_login=y"),
        (b"a=headrace_login=x", b"a=headrace_login=x"),
        (b"other=hrl_" + b"0" * 32 + b"_" + b"s" * 43, b""),
    ],
)
def test_the_cookie_of_a_login_at_the_manager_is_left_out_whatever_its_value(cookies: bytes, left: bytes) -> None:
    assert without_credentials(cookies) == left


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (b"__Host-headrace_login=x; Path=/; Secure", True),
        (b"headrace_login=; Max-Age=0", True),
        (b" headrace_login =x", True),
        (b"=headrace_login=x", True),
        (b"headrace_login", True),
        (b"headrace_login_2=x", False),
        (b"a=1; headrace_login=x", False),
        (b"", False),
    ],
)
def test_an_answer_that_sets_the_cookie_of_a_login_is_recognised(value: bytes, *, is_one: bool) -> None:
    assert is_login_cookie(value) == is_one
