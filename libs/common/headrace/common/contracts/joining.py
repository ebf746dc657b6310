"""What machines that join, and managers, both write: the proof by which an identity is renewed."""

from __future__ import annotations


def renewal_message(public_key: str, signed_at: int) -> bytes:
    """Return what is signed to renew an identity. `signed_at`: seconds since 1970."""
    return f"headrace renew {public_key} {signed_at}".encode()
