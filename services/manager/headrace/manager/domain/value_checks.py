"""Checks of values that a request and a definition file both may have: images and environment variables."""

from __future__ import annotations

from typing import Final

from headrace.common.contracts.environ import is_reserved
from headrace.common.contracts.images import parse_image

_NAMES: Final = frozenset({"HEADRACE_PORT", "HEADRACE_MODEL_PATH"})
_PREFIXES: Final = ("HEADRACE_KERNEL_", "HEADRACE_SESSION_", "HEADRACE_SERVICE_", "HEADRACE_AGENT_", "BACKENDAI_")
ANOTHER_NAME: Final = "another name: this one is set by Headrace"
SET_TWICE: Final = ("a variable that environ has too", "one of the two")
"""Found and allowed of a variable that has a value and a secret."""


def is_headraces(name: str) -> bool:
    """Return whether Headrace itself sets the environment variable, so that nobody else may."""
    return name in _NAMES or name.startswith(_PREFIXES) or is_reserved(name)


def is_image(image: str) -> bool:
    """Return whether a container engine can name the image."""
    try:
        parse_image(image)
    except ValueError:
        return False
    return True
