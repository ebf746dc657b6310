"""Flags of rollouts, shared by `service create` and `update`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from headrace.common.contracts.rollout import Rollout


@dataclass(frozen=True)
class RolloutFlags:
    """Flags for rollout settings. None: not given."""

    on_failed_rollout: Annotated[
        Literal["keep", "roll-back"] | None,
        typer.Option(
            "--on-failed-rollout",
            metavar="keep|roll-back",
            help="When a new revision does not start: keep the one that serves (default), or go back to it.",
        ),
    ] = None
    max_unavailable: Annotated[
        int | None,
        typer.Option(
            "--max-unavailable",
            metavar="0|1",
            min=0,
            max=1,
            help="Replicas that a rollout may give up when a new one finds no machine otherwise (default 1).",
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the given fields of a CreateService or UpdateService."""
        fields = {"on_failure": self.on_failed_rollout, "max_unavailable": self.max_unavailable}
        found = {name: value for name, value in fields.items() if value is not None}
        return {"rollout": found} if found else {}


def rollout_words(rollout: Rollout) -> str:
    """Format the rollout settings in one line."""
    failed = "the revision that serves is kept" if rollout.on_failure == "keep" else "rolled back"
    return f"when it fails: {failed}; gives up at most {rollout.max_unavailable} of the wanted replicas"
