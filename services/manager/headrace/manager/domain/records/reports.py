"""Rows of what machines reported."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.manager.domain.addresses import Said


@dataclass(frozen=True)
class Kept:
    """A machine whose report counts."""

    changed_capacity: bool
    said: Said
