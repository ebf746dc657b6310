"""CORS settings: allowed origins, header fields and credentials (the Fetch standard, section 3.2)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, StringConstraints

from headrace.common.contracts.messages.envelope import Part
from headrace.common.contracts.wording import Refused, pattern

EVERY = "*"
_DAY_S = 86_400
_MAX = 32
_LONGEST_ORIGIN = 253
_HIGHEST_PORT = 65_535
_OWN_PORTS = {"http": "80", "https": "443"}
_FORMS = (
    "an origin as browsers send it, in lower case and without a path or a slash at its end: https://app.example.com, with its port "
    "where it has one (http://localhost:3000); https://*.example.com for any one name before that; or * for all origins"
)
_ORIGIN = pattern(
    r"^(\*|[a-z][a-z0-9+.-]{0,31}://((\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?)$", _FORMS
)
Origin = Annotated[str, StringConstraints(pattern=_ORIGIN, max_length=_LONGEST_ORIGIN)]
FieldName = Annotated[
    str,
    StringConstraints(
        pattern=pattern(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", "the name of a header field, of letters, digits, - and _")
    ),
]


class Cors(Part):
    """CORS policy of a service (the Fetch standard). Without `allow_origins` the app-proxy leaves CORS to the replica."""

    allow_origins: tuple[Origin, ...] = ()
    """Origins as browsers send them. `https://*.example.com`: any one label before that. `*`, by itself: all."""
    allow_headers: tuple[FieldName, ...] = ()
    """Request header fields that a page may send. Empty: those that it asks for."""
    expose_headers: tuple[FieldName, ...] = ()
    """Response header fields that a page may read, beside the app-proxy's own (X-Request-Id, Retry-After, limits)."""
    allow_credentials: bool = False
    """Whether browsers may send cookies and other stored credentials. A token that a page sends itself does not need
    it."""
    max_age_s: NonNegativeInt = 600
    """How long a browser may cache the response to a preflight request; browsers have limits of their own."""


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if EVERY in origins and len(origins) > 1:
        raise Refused(f"* and {len(origins) - 1} more", "* by itself, or a list without it")
    for origin in origins:
        scheme, _, rest = origin.partition("://")
        port = rest.rpartition("]")[2].rpartition(":")[2] if ":" in rest.rpartition("]")[2] else ""
        if port and (port == _OWN_PORTS.get(scheme) or port.startswith("0") or int(port) > _HIGHEST_PORT):
            raise Refused(origin, f"{_FORMS}; a port from 1 to 65535, and none where it is the scheme's own")
    return _once(origins)


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Refused(f"{', '.join(twice[:5])} twice", "each once")
    return names


Origins = Annotated[tuple[Origin, ...], Field(max_length=_MAX), AfterValidator(_origins)]
FieldNames = Annotated[tuple[FieldName, ...], Field(max_length=_MAX), AfterValidator(_once)]


class CorsSettings(Cors):
    """CORS settings. A change only changes the named fields. `*` does not go with `allow_credentials`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    allow_origins: Origins = ()
    allow_headers: FieldNames = ()
    expose_headers: FieldNames = ()
    allow_credentials: Annotated[bool, Field(strict=True)] = False
    max_age_s: Annotated[int, Field(strict=True, ge=0, le=_DAY_S)] = 600
