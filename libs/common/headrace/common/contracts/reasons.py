"""A reason: why something is as it is, with a stable code for machines and words for people."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints


class Reason(BaseModel):
    """Stable `code` (kebab-case) and `text` that names the numbers."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
    code: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    text: Annotated[str, StringConstraints(max_length=4000)]
