"""What an object holds, whether or not its class was compiled."""

from __future__ import annotations


def facts(thing: object) -> dict[str, object]:
    """Return the values of its public attributes that are no methods."""
    names = [name for name in dir(thing) if not name.startswith("_")]
    return {name: value for name in names if not callable(value := getattr(thing, name))}
