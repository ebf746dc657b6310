"""Flags and output of traffic settings: load balancing, queue, limits, CORS, names of models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from headrace.cli.text import number
from headrace.common.contracts.cors import Cors
from headrace.common.contracts.http.services import ServiceView
from headrace.common.contracts.messages.routes import BalancePolicy

_NONE_AT_ZERO = frozenset({"max_in_flight_per_replica", "max_body_bytes"})
Seconds = float | None
Count = int | None


@dataclass(frozen=True)
class TrafficFlags:
    """Flags for the traffic settings of a service. None: not given. 0 removes a limit that is optional."""

    balance: Annotated[
        BalancePolicy | None, typer.Option("--balance", help="How requests are spread (default least-in-flight).")
    ] = None
    session_key: Annotated[
        str | None,
        typer.Option(
            "--session-key",
            metavar="KEY",
            help="For session: header:NAME, cookie:NAME or body:user (default header:x-session-id).",
        ),
    ] = None
    prefix_bytes: Annotated[
        Count, typer.Option("--prefix-bytes", metavar="BYTES", help="For prefix: how much of a prompt counts.")
    ] = None
    load_factor: Annotated[
        float | None,
        typer.Option(
            "--load-factor", metavar="FACTOR", help="For session and prefix: a busier replica passes requests on."
        ),
    ] = None
    slow_start: Annotated[
        Seconds,
        typer.Option("--slow-start", metavar="SECONDS", help="How long a fresh replica's share grows; 0: at once."),
    ] = None
    max_in_flight_per_replica: Annotated[
        Count,
        typer.Option("--max-in-flight-per-replica", metavar="COUNT", min=0, help="Further ones wait; 0: no limit."),
    ] = None
    max_queued: Annotated[
        Count, typer.Option("--max-queued", metavar="COUNT", min=0, help="Further ones are answered 429.")
    ] = None
    queue_timeout: Annotated[
        Seconds, typer.Option("--queue-timeout", metavar="SECONDS", help="Longest wait in the queue.")
    ] = None
    max_body_bytes: Annotated[
        Count, typer.Option("--max-body-bytes", metavar="BYTES", min=0, help="Largest request body; 0: no limit.")
    ] = None
    first_byte_timeout: Annotated[
        Seconds, typer.Option("--first-byte-timeout", metavar="SECONDS", help="Longest wait for an answer to begin.")
    ] = None
    idle_timeout: Annotated[
        Seconds, typer.Option("--idle-timeout", metavar="SECONDS", help="Longest silence within an answer.")
    ] = None
    caller_requests_per_second: Annotated[
        float | None,
        typer.Option("--caller-requests-per-second", metavar="RATE", min=0, help="Of each caller; 0: no limit."),
    ] = None
    caller_in_flight: Annotated[
        Count, typer.Option("--caller-in-flight", metavar="COUNT", min=0, help="Of each caller; 0: no limit.")
    ] = None
    caller_tokens_per_minute: Annotated[
        Count,
        typer.Option("--caller-tokens-per-minute", metavar="COUNT", min=0, help="Of each caller; 0: no limit."),
    ] = None
    caller_tokens_per_day: Annotated[
        Count, typer.Option("--caller-tokens-per-day", metavar="COUNT", min=0, help="Of each caller; 0: no limit.")
    ] = None
    model_name: Annotated[
        list[str] | None,
        typer.Option(
            "--model-name",
            metavar="NAME",
            help="Found by it too at the fleet's base URL. Replaces the whole list; '' empties it. Repeatable.",
        ),
    ] = None
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            metavar="ORIGIN",
            help="Its pages may call in browsers: https://app.example.com, https://*.example.com or *. Replaces the whole list; '' empties it."
            " Repeatable.",
        ),
    ] = None
    cors_header: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-header",
            metavar="NAME",
            help="Field that pages may send. Replaces the whole list; '': what they ask for. Repeatable.",
        ),
    ] = None
    cors_expose: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-expose",
            metavar="NAME",
            help="Field of answers that pages may read, beside the proxy's own. Replaces the whole list; '' empties it. Repeatable.",
        ),
    ] = None
    cors_credentials: Annotated[
        bool | None,
        typer.Option("--cors-credentials/--no-cors-credentials", help="Whether browsers may send cookies along."),
    ] = None
    cors_max_age: Annotated[
        Count,
        typer.Option("--cors-max-age", metavar="SECONDS", help="How long browsers go by an answer (default 600)."),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the given fields of a CreateService or UpdateService."""
        names = ("requests_per_second", "in_flight", "tokens_per_minute", "tokens_per_day")
        fields: dict[str, dict[str, Any]] = {
            "balance": {
                "policy": self.balance,
                "session_key": self.session_key,
                "prefix_bytes": self.prefix_bytes,
                "load_factor": self.load_factor,
                "slow_start_s": self.slow_start,
            },
            "limits": {
                "max_in_flight_per_replica": self.max_in_flight_per_replica,
                "max_queued": self.max_queued,
                "queue_timeout_s": self.queue_timeout,
                "max_body_bytes": self.max_body_bytes,
                "first_byte_timeout_s": self.first_byte_timeout,
                "idle_timeout_s": self.idle_timeout,
            },
            "caller_limits": {name: getattr(self, f"caller_{name}") for name in names},
            "cors": {
                "allow_origins": _named(self.cors_origin),
                "allow_headers": _named(self.cors_header),
                "expose_headers": _named(self.cors_expose),
                "allow_credentials": self.cors_credentials,
                "max_age_s": self.cors_max_age,
            },
        }
        none_at_zero = {*_NONE_AT_ZERO, *names}
        found: dict[str, Any] = {
            group: {
                name: None if value == 0 and name in none_at_zero else value
                for name, value in values.items()
                if value is not None
            }
            for group, values in fields.items()
        }
        if self.model_name is not None:
            found["models"] = _named(self.model_name)
        return {group: values for group, values in found.items() if values or group == "models"}


def _named(given: list[str] | None) -> list[str] | None:
    return None if given is None else [name for name in given if name]


def traffic_facts(service: ServiceView) -> list[tuple[str, object]]:
    """Return the traffic settings that differ from a new service's, one line each."""
    balance = service.balance
    return [
        ("fleet endpoint", service.fleet_endpoint),
        ("models", " ".join(service.models) or None),
        ("balance", ", ".join([balance.policy, *_set(balance, besides="policy")])),
        ("limits", ", ".join(_set(service.limits)) or "as usual"),
        ("each caller", ", ".join(_set(service.caller_limits)) or "no limits"),
        ("CORS", _cors(service.cors)),
    ]


def _cors(cors: Cors) -> str:
    if not cors.allow_origins:
        return "left to the replica"
    return ", ".join([" ".join(cors.allow_origins), *_set(cors, besides="allow_origins")])


def _set(settings: BaseModel, *, besides: str = "") -> list[str]:
    usual = type(settings)()
    return [
        f"{name.replace('_', ' ')} {' '.join(value) if isinstance(value, tuple) else str(value).lower()}"
        if isinstance(value, tuple | bool)
        else f"{name.removesuffix('_s').replace('_', ' ')} {number(value)}{' s' if name.endswith('_s') else ''}"
        if isinstance(value, int | float)
        else f"{name.replace('_', ' ')} {value}"
        for name, value in settings
        if name != besides and value != getattr(usual, name)
    ]
