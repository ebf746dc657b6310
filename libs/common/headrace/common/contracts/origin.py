"""Origins of effective values: which layer a value of a revision comes from.

A revision keeps them beside its resolved spec, and a dry run answers with them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

OriginSource = Literal["baseline", "service-definition", "model-definition", "size", "project", "request"]
"""The layers of a spec, lowest first: each wins over those before it."""


class Origin(BaseModel):
    """Where an effective value comes from."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
    source: OriginSource
    """`baseline`: what the runtime variant has without any other word; of a resource group, the installation's default.
    `project`: the project's default."""
    path: str = ""
    """Field of the request or of the size, or path in the file; empty for the baseline."""
    file: str | None = None
    """Definition file."""
    size: str | None = None
    """Name of the resource preset."""
