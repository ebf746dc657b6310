"""Attribute values of objects, whether or not their class is compiled."""

from __future__ import annotations


def facts(thing: object) -> dict[str, object]:
    """Return the values of the public attributes, without methods."""
    names = [name for name in dir(thing) if not name.startswith("_")]
    return {name: value for name in names if not callable(value := getattr(thing, name))}
