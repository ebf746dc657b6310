"""Shapes that all REST models share."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class Body(BaseModel):
    """A request body: closed, so that a mistyped field is refused and not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class View(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Page(View, Generic[T]):
    """`items` in creation order; `next` is the cursor of the next page, None at the end. A page may have few items, or none, and a next one."""

    items: tuple[T, ...]
    next: str | None = None
