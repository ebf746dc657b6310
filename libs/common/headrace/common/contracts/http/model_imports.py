"""Imports of models from URIs, as services show them."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, NonNegativeFloat, NonNegativeInt

from headrace.common.contracts.http.page import View


class ModelImport(View):
    """How far the files of a model URI are, of the version that the revision has."""

    state: Literal["waiting", "running", "failed", "done"]
    """`failed`: it is tried again at `next_try_at`."""
    done_bytes: NonNegativeInt
    size_bytes: NonNegativeInt
    bytes_per_s: NonNegativeFloat | None = None
    eta_s: NonNegativeFloat | None = None
    """Seconds that it takes still."""
    error: str | None = None
    """Why the last attempt failed; None after one that did not."""
    attempts: NonNegativeInt = 0
    """Failed ones in a row."""
    next_try_at: AwareDatetime | None = None
    imported_at: AwareDatetime | None = None
