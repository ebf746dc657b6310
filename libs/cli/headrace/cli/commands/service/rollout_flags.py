"""Flags of rollouts, shared by `service create` and `update`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from headrace.cli.parsing import usage
from headrace.common.contracts.rollout import Rollout
from headrace.common.text.counting import count


@dataclass(frozen=True)
class RolloutFlags:
    """Flags for rollout settings. None: not given."""

    strategy: Annotated[
        Literal["rolling", "canary", "blue-green"] | None,
        typer.Option(
            "--strategy",
            metavar="rolling|canary|blue-green",
            help="How a new revision takes over: replica by replica (default), in steps, or all at once.",
        ),
    ] = None
    max_surge: Annotated[
        str | None,
        typer.Option(
            "--max-surge",
            metavar="COUNT|PERCENT",
            help="Replicas above the wanted number that a rollout may start (default 25%, rounded up); 0: old ones leave first.",
        ),
    ] = None
    max_unavailable: Annotated[
        str | None,
        typer.Option(
            "--max-unavailable",
            metavar="COUNT|PERCENT",
            help="Replicas that a rollout may take out of service where a new one finds no machine otherwise (default 1).",
        ),
    ] = None
    min_ready: Annotated[
        float | None,
        typer.Option(
            "--min-ready",
            metavar="SECONDS",
            min=0,
            help="How long a new replica has to be healthy before an old one leaves (default 0).",
        ),
    ] = None
    progress_deadline: Annotated[
        float | None,
        typer.Option(
            "--progress-deadline",
            metavar="SECONDS",
            min=10,
            help="A rollout fails when no further replica becomes ready for so long (default 1800).",
        ),
    ] = None
    on_failed_rollout: Annotated[
        Literal["keep", "roll-back"] | None,
        typer.Option(
            "--on-failed-rollout",
            metavar="keep|roll-back",
            help="When a rollout fails: go back to the revision that serves (default), or report it and keep that one.",
        ),
    ] = None
    canary_step: Annotated[
        list[str] | None,
        typer.Option(
            "--canary-step",
            metavar="COUNT|PERCENT[:SECONDS]",
            help="New replicas of a step, and how long it lasts; without seconds until headrace rollout promote. All of them. "
            "Repeatable.",
        ),
    ] = None
    auto_promote: Annotated[
        bool | None,
        typer.Option(
            "--auto-promote/--manual-promote",
            help="Whether blue-green switches once all are ready (default), or at headrace rollout promote.",
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the given fields of a CreateService or UpdateService."""
        fields = {
            "strategy": self.strategy,
            "max_surge": _share(self.max_surge),
            "max_unavailable": _share(self.max_unavailable),
            "min_ready_s": self.min_ready,
            "progress_deadline_s": self.progress_deadline,
            "on_failure": self.on_failed_rollout,
            "steps": [_step(step) for step in self.canary_step] if self.canary_step else None,
            "auto_promote": self.auto_promote,
        }
        found = {name: value for name, value in fields.items() if value is not None}
        return {"rollout": found} if found else {}


def _share(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() and text.isascii() and len(text) < 10 else text


def _step(text: str) -> dict[str, Any]:
    replicas, colon, seconds = text.partition(":")
    try:
        return {"replicas": _share(replicas), **({"pause_s": float(seconds)} if colon else {})}
    except ValueError:
        raise usage(f"--canary-step {text}: found {seconds or 'nothing'}; allowed: seconds, as in 25%:300") from None


def rollout_words(rollout: Rollout) -> str:
    """Format the rollout settings in one line."""
    kind: str = rollout.strategy
    if rollout.strategy == "canary":
        steps = (f"{s.replicas}{'' if s.pause_s is None else f' for {s.pause_s:g} s'}" for s in rollout.steps)
        kind = f"canary ({', '.join(steps)})"
    elif rollout.strategy == "blue-green" and not rollout.auto_promote:
        kind = "blue-green, switched by hand"
    failed = "the revision that serves is kept" if rollout.on_failure == "keep" else "rolled back"
    ready = f", ready after {rollout.min_ready_s:g} s" if rollout.min_ready_s else ""
    return (
        f"{kind}; {_more(rollout.max_surge)} more, {_more(rollout.max_unavailable)} fewer at most{ready}; when it fails or stands "
        f"still for {rollout.progress_deadline_s:g} s: {failed}"
    )


def _more(share: int | str) -> str:
    return share if isinstance(share, str) else count(share, "replica")
