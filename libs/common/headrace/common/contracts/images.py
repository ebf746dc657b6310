"""Names of container images: the grammar of references, strictly."""

from __future__ import annotations

import re
from dataclasses import dataclass

ALLOWED = "[registry[:port]/]name[/name…][:tag][@sha256:…]; names of small letters and digits with single . _ or - between them"
HUB = "docker.io"
MAX = 512
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*+)(?::[0-9]{1,5})?")
_PART = re.compile(r"[a-z0-9]++(?:(?:\.|__?|-++)[a-z0-9]++)*+")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class ImageName:
    """Parsed image reference."""

    registry: str
    """Host, with its port if it has one; `docker.io` by default."""
    path: str
    tag: str | None
    digest: str | None

    @property
    def host(self) -> str:
        """Registry without its port."""
        return self.registry.partition(":")[0]


def parse_image(text: str) -> ImageName:
    """Parse an image reference (grammar of github.com/distribution/reference). Raises ValueError with the allowed form."""
    wrong = ValueError(f"{text[:100]!r} is not the name of an image; allowed: {ALLOWED}")
    if len(text) > MAX:
        raise wrong
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise wrong
    first, slash, remainder = rest.partition("/")
    registry = HUB
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry, rest = first, remainder
        labels = registry.partition(":")[0].split(".")
        if not _HOST.fullmatch(registry) or not all(_is_label(label) for label in labels):
            raise wrong
    path, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise wrong
    if len(path) > 255 or not all(_PART.fullmatch(part) for part in path.split("/")):
        raise wrong
    return ImageName(registry, path, tag or None, digest or None)


def _is_label(label: str) -> bool:
    return bool(label) and not label.startswith("-") and not label.endswith("-")
