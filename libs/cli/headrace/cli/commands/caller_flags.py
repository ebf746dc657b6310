"""The flags that bound a caller, shared by tokens and named clients; and how limits are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from headrace.cli.parsing import usage
from headrace.common.contracts.http.tokens import CallerLimits, UpdateCaller
from headrace.common.contracts.messages.routes import RateLimits

_SHORT = {
    "requests_per_second": "/s",
    "in_flight": " at once",
    "tokens_per_minute": " tokens/min",
    "tokens_per_day": " tokens/day",
}


@dataclass(frozen=True)
class CallerFlags:
    """What one caller may do at a service at most. None: not given."""

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
        """Return `limits` and `share`, as far as they were given. Raises CliError."""
        limits = {name: getattr(self, name) for name in CallerLimits.model_fields}
        limits = {name: value for name, value in limits.items() if value is not None}
        if limits.get("requests_per_second") == 0:
            raise usage("--requests-per-second 0: allowed: a rate above 0, for example 0.5")
        share = {} if self.share is None else {"share": self.share}
        return share | ({"limits": limits} if limits else {})

    def change(self, *, unlimited: bool) -> UpdateCaller:
        """Return the change that is meant; with `unlimited` limits that were not given are taken away. Raises CliError."""
        given = self.given()
        if unlimited:
            none = dict.fromkeys(CallerLimits.model_fields)
            given["limits"] = none | given.get("limits", {})
        if not given:
            raise usage("found nothing to change; allowed: limits, --share, --unlimited")
        return UpdateCaller.model_validate(given)


Unlimited = Annotated[bool, typer.Option("--unlimited", help="Take away all limits that are not given here.")]


def limits_text(limits: RateLimits) -> str:
    """Return limits in a few words, `-` where there are none."""
    return ", ".join(f"{value:g}{_SHORT[name]}" for name, value in limits if value is not None) or "-"
