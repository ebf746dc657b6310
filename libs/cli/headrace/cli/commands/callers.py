"""Flags and output of callers' limits, shared by tokens and named clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.parsing import usage
from headrace.cli.text import number
from headrace.common.contracts.http.tokens import CallerLimits
from headrace.common.contracts.messages.routes import RateLimits

_SHORT = {
    "requests_per_second": "/s",
    "in_flight": " at once",
    "tokens_per_minute": " tokens/min",
    "tokens_per_day": " tokens/day",
}


@dataclass(frozen=True)
class CallerFlags:
    """Flags for the limits of one caller at a service. None: not given."""

    requests_per_second: Annotated[
        float | None, typer.Option("--requests-per-second", metavar="RATE", min=0, help="Mean rate of requests.")
    ] = None
    in_flight: Annotated[int | None, typer.Option("--in-flight", metavar="COUNT", min=1, help="Requests at once.")] = (
        None
    )
    tokens_per_minute: Annotated[
        int | None, typer.Option("--tokens-per-minute", metavar="COUNT", min=1, help="Model tokens, prompt and answer.")
    ] = None
    tokens_per_day: Annotated[
        int | None, typer.Option("--tokens-per-day", metavar="COUNT", min=1, help="Model tokens, prompt and answer.")
    ] = None
    share: Annotated[
        int | None, typer.Option("--share", min=1, max=1000, help="Weight in the queue of a full service (default 1).")
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the given `limits` and `share`. Raises CliError."""
        limits = {name: getattr(self, name) for name in CallerLimits.model_fields}
        limits = {name: value for name, value in limits.items() if value is not None}
        if limits.get("requests_per_second") == 0:
            raise usage("--requests-per-second 0: allowed: a rate above 0, for example 0.5")
        share = {} if self.share is None else {"share": self.share}
        return share | ({"limits": limits} if limits else {})

    def change(self, unset: Iterable[str] | None, *, unlimited: bool, more: Iterable[str] = ()) -> dict[str, Any]:
        """Return the fields of an UpdateCaller: removals first, then new values. Raises CliError.

        `more`: fields of the command's own that `unset` may name.
        """
        items = [*(unset or ()), *(["limits"] if unlimited else [])]
        fields = {**{name: name for name in (*more, "limits", "share")}, **LIMITS}
        named = emptied(items, fields)
        plain: dict[str, Any] = {name: None for name in (*more, "share") if name in named}
        away = CallerLimits.model_fields if "limits" in named else (name for name in LIMITS.values() if name in named)
        given = self.given()
        limits = {**dict.fromkeys(away), **given.pop("limits", {})}
        return plain | given | ({"limits": limits} if limits else {})


LIMITS: Final = {name.replace("_", "-"): name for name in CallerLimits.model_fields}
"""Field by flag."""
UNSET_CALLER: Final = ("limits", *LIMITS, "share")
Unlimited = Annotated[bool, typer.Option("--unlimited", help="Take away all limits that are not given here.")]
UnsetCaller = Annotated[list[str] | None, unset_flag(UNSET_CALLER)]


def limits_text(limits: RateLimits) -> str:
    """Format limits in a few words, `-` for none."""
    return ", ".join(f"{number(value)}{_SHORT[name]}" for name, value in limits if value is not None) or "-"
