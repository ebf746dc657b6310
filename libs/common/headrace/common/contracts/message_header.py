"""Header field with which a caller says why it makes a change; the audit log keeps it."""

from __future__ import annotations

from typing import Final

MESSAGE_HEADER: Final = "X-Headrace-Message"
MAX_MESSAGE: Final = 1_000
"""Characters of such a message, which is sent as UTF-8."""


def why_no_message(text: str) -> tuple[str, str] | None:
    """Return (found, allowed) where the text is no message; None: it is one."""
    if len(text) > MAX_MESSAGE:
        return f"{len(text)} characters", f"at most {MAX_MESSAGE}"
    if any(not one.isprintable() for one in text):
        return "characters that are not printable", "one line of text, as UTF-8"
    return None
