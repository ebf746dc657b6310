"""Exposure of a local stack: warning if other machines can reach a stack without isolation."""

from __future__ import annotations


def open_to_others(runtime: str, listen_host: str) -> str | None:
    """Return the warning for a stack without isolation that other machines can reach, or None."""
    if runtime != "process" or listen_host == "localhost" or listen_host.startswith("127.") or listen_host == "::1":
        return None
    return (
        f"API and endpoints listen at {listen_host}, and replicas run as your own account (--runtime process): a model, and "
        "whoever may start one, reads every secret of this stack and every file of yours. Use --runtime docker for others"
    )
