"""Identity fields that callers may not set, and detection of this installation's credentials in any field.

Neither may reach a replica.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Final

from headrace.common.contracts.login_cookie import LOGIN_COOKIES

ISSUER: Final = "headrace"
"""Issuer of this installation's tokens."""
SECRET_PREFIXES: Final = (b"hr_", b"hrc_", b"hrl_", b"hro_")
"""Prefixes of API keys, of named clients' secrets, and of logins and their one-time codes."""
_LOGIN_COOKIES: Final = tuple(name.encode() for name in LOGIN_COOKIES)
_UNDERSCORE: Final = 0x5F
_CAPITAL_J: Final = 0x4A
"""Bytes that every secret, and every token, contains: a value without either holds none. Searching one byte is fast."""
_MIN_SECRET: Final = 16
_WORDS: Final = re.compile(rb"[^A-Za-z0-9_-]+")
_NAMES: Final = re.compile(
    rb"^("
    # client addresses and hosts from proxies, load balancers and CDNs
    rb"x-forwarded-.*|x-real-.*|x-original-.*|x-rewrite-.*|x-envoy-.*|x-arr-.*|x-azure-.*|x-appengine-.*|x-host|x-scheme|x-url-scheme"
    rb"|front-end-https|forwarded-.*|x-originating-.*|x-proxyuser-.*|(wl-proxy|proxy|http|x-http)-client-.*|http-x-forwarded-.*"
    rb"|(x-|true-|fastly-|fly-|x-cluster-|x-azure-)?client-?ip|(x-)?remote-.*|cf-(connecting|pseudo|ipcountry|access|visitor|ray)(-.*|ip.*)?"
    # client certificates from a TLS terminator
    rb"|(x-)?ssl-.*|(x-)?tls-.*|(x-)?client-(cert|certificate|dn|verify|san|subject|issuer|fingerprint)(-.*)?|x-amzn-(oidc|mtls)-.*"
    # authenticated users from gateways
    rb"|x-headrace-.*|x-auth-request-.*|x-webauth-.*|x-ms-(client-principal|token)(-.*)?|x-goog-(authenticated-user|iap-jwt)-.*"
    rb"|x-(user|userinfo|id-token|anonymous-consumer)|x-user-(id|name|email|groups?|roles?)|x-authenticated-.*|x-consumer-.*"
    rb"|x-credential-(identifier|username)|x-(authentik|vouch|pomerium|oidc|jwt)-.*|oidc-.*|mellon-.*|tailscale-user-.*|teleport-.*|kubeflow-userid"
    rb")$"
)


def is_identity_field(name: bytes) -> bool:
    """Return True for a field that says who the caller is or where it came from: only the proxy may set these.

    `name` is in lower case. Underscores count as hyphens, because CGI-like servers cannot tell them apart.
    """
    return _NAMES.match(name.replace(b"_", b"-")) is not None


def holds_credential(value: bytes) -> bool:
    """Return True if the value contains an API key, client secret or token of this installation, valid or not."""
    if _UNDERSCORE not in value and _CAPITAL_J not in value:
        return False
    # `in` on bytes raises and swallows an error internally; this runs for every field that was not seen before.
    if value.find(b"hr") < 0 and value.find(b"eyJ") < 0:
        return False
    return any(map(_is_credential, _WORDS.split(value)))


def _is_credential(word: bytes) -> bool:
    if word.startswith(SECRET_PREFIXES):
        return len(word) >= _MIN_SECRET
    if not word.startswith(b"eyJ"):  # base64 of JSON begins so: a token's claims
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(word + b"=" * (-len(word) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(claims, dict) and claims.get("iss") == ISSUER


def without_credentials(cookies: bytes) -> bytes:
    """Return the request's cookies without those that contain a credential of this installation, and without the login cookie."""
    return b";".join(
        pair for pair in cookies.split(b";") if not (is_login_cookie(pair) or holds_credential(pair))
    ).strip()


def is_login_cookie(pair: bytes) -> bool:
    """Return True if a `Cookie` pair, or a `Set-Cookie` value, is the cookie of a browser's login at the manager.

    A cookie without a name is sent as its value alone, so that `=name=value` is one of this name.
    """
    text = pair.lstrip(b"= \t")
    if not text.startswith(_LOGIN_COOKIES):
        return False
    return text.partition(b";")[0].partition(b"=")[0].rstrip() in _LOGIN_COOKIES
