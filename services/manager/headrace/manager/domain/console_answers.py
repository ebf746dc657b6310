"""Answers of the web console's files: which of them, in which encoding, under which policy. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "/console/"
PAGE: Final = "index.html"
ASSETS: Final = "assets/"
"""Folder of the files whose names have a hash of their content: one of another name is another file."""
NONCE_PLACE: Final = "__CSP_NONCE__"
"""What the build leaves in the page where each answer has a nonce of its own (Vite's `html.cspNonce`)."""
ENCODINGS: Final = {"br": ".br", "gzip": ".gz"}
"""Compressed forms beside a file, the smallest first, and how their names end."""
RELOAD_S: Final = 3
"""How often the page that stands in for a console that is being built loads itself anew."""
_YEAR_S: Final = 31_536_000
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "md": "text/plain; charset=utf-8",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff2": "font/woff2",
}
_FEATURES: Final = (
    *("accelerometer", "autoplay", "camera", "clipboard-read", "display-capture", "encrypted-media", "fullscreen"),
    *("geolocation", "gyroscope", "hid", "idle-detection", "magnetometer", "microphone", "midi", "payment"),
    *("picture-in-picture", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking"),
)
"""What the console needs nothing of; it writes to the clipboard."""
_OF_ALL: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{name}=()" for name in _FEATURES),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_ELEMENT: Final = re.compile(r"\s*([A-Za-z0-9*!#$%&'+.^_`|~-]{1,40})\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


@dataclass(frozen=True)
class ConsoleFile:
    """A file of the console, as it is and compressed."""

    content_type: str
    digest: str
    """Of its content; the tag by which browsers ask whether it has changed."""
    content: bytes
    compressed: Mapping[str, bytes]
    """By content coding."""


@dataclass(frozen=True)
class BuiltConsole:
    """All files of a console that was built."""

    page: str
    """`index.html`, with the places of the nonce."""
    files: Mapping[str, ConsoleFile]
    """The others, by their paths below /console/."""


@dataclass(frozen=True)
class Asked:
    """What a request says of the answer that it can use."""

    path: str
    """Below /console/."""
    accept_encoding: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def answer(console: BuiltConsole, asked: Asked, *, nonce: str, chat_origins: Sequence[str] = ()) -> Answer | None:
    """Return the file at the path, and the page for each path that is none: the page knows its own paths.

    None for an asset that is not there, as one of another version of the console.
    """
    file = console.files.get(asked.path)
    if file is not None:
        return _file(file, asked)
    if asked.path.startswith(ASSETS):
        return None
    page = console.page.replace(NONCE_PLACE, nonce)
    return Answer(200, _page_headers(page_policy(nonce, chat_origins)), page.encode())


def unbuilt(*, why: str, soon: bool) -> Answer:
    """Return the page that stands in for a console that is not there. `soon`: it may come while this manager runs."""
    again = f'<meta http-equiv="refresh" content="{RELOAD_S}">' if soon else ""
    more = "<p>This page loads itself again until it is there.</p>" if soon else ""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Headrace</title>{again}</head><body>'
        f"<h1>There is no web console here{' yet' if soon else ''}</h1><p>{html.escape(why)}</p>{more}</body></html>\n"
    )
    headers = _page_headers(_NOTHING)
    return (
        Answer(503, headers | {"Retry-After": str(RELOAD_S)}, text.encode())
        if soon
        else Answer(404, headers, text.encode())
    )


def page_policy(nonce: str, chat_origins: Sequence[str] = ()) -> str:
    """Return the content security policy of the page. `chat_origins`: where it may send chats besides its own origin."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "img-src 'self' data: blob:",
            " ".join(("connect-src 'self'", *chat_origins)),
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def media_type(name: str) -> str:
    """Return the content type of a file by the end of its name."""
    return _TYPES.get(name.rpartition(".")[2], "application/octet-stream")


def accepted(field: str | None) -> frozenset[str]:
    """Return the codings of ENCODINGS that `Accept-Encoding` names with a weight above 0 (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for element in (field or "").split(","):
        if (found := _ELEMENT.fullmatch(element)) is not None:
            weights[found[1].lower()] = float(found[2] or 1)
    return frozenset(coding for coding in ENCODINGS if weights.get(coding, weights.get("*", 0)) > 0)


def _file(file: ConsoleFile, asked: Asked) -> Answer:
    can = accepted(asked.accept_encoding)
    coding = next((name for name in ENCODINGS if name in can and name in file.compressed), None)
    tag = f'"{file.digest}-{coding}"' if coding else f'"{file.digest}"'
    lasting = f"public, max-age={_YEAR_S}, immutable" if asked.path.startswith(ASSETS) else "no-cache"
    headers = {**_OF_ALL, "Cache-Control": lasting, "ETag": tag, "Vary": "Accept-Encoding"}
    if _has(asked.if_none_match, tag):
        return Answer(304, headers)
    headers |= {"Content-Type": file.content_type, "Content-Security-Policy": _NOTHING}
    if coding is None:
        return Answer(200, headers, file.content)
    return Answer(200, headers | {"Content-Encoding": coding}, file.compressed[coding])


def _has(field: str | None, tag: str) -> bool:
    """Return whether `If-None-Match` names the tag (compared weakly, as RFC 9110 says there)."""
    if field is None:
        return False
    return field.strip() == "*" or tag in {one.strip().removeprefix("W/") for one in field.split(",")}


def _page_headers(policy: str) -> dict[str, str]:
    return {
        **_OF_ALL,
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Content-Type": "text/html; charset=utf-8",
    }
