"""Numbers with their nouns, in texts for people."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Return `1 replica`, `2 replicas`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
