"""Autoscaling rules of a service."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.rules import RuleView, UpdateRule
from headrace.common.contracts.rule import RuleSpec
from headrace.sdk.transport import Transport, segment


class Rules:
    """Client of `/v1/services/{service}/rules`: autoscaling rules."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, service: str, spec: RuleSpec) -> RuleView:
        """Add a rule."""
        return self._transport.create(RuleView, _of(service), spec)

    def list(self, service: str) -> Iterator[RuleView]:
        """Yield the rules, each with its last evaluation."""
        return self._transport.items(RuleView, _of(service))

    def update(self, service: str, rule_id: UUID | str, body: UpdateRule, *, if_match: str | None = None) -> RuleView:
        """Change the fields set in `body`."""
        return self._transport.one(
            RuleView, "PATCH", f"{_of(service)}/{segment(rule_id)}", body=body, if_match=if_match
        )

    def replace(self, service: str, rule_id: UUID | str, spec: RuleSpec, *, if_match: str | None = None) -> RuleView:
        """Replace the whole spec of a rule."""
        return self._transport.one(RuleView, "PUT", f"{_of(service)}/{segment(rule_id)}", body=spec, if_match=if_match)

    def delete(self, service: str, rule_id: UUID | str, *, if_match: str | None = None) -> None:
        """Remove a rule."""
        self._transport.send("DELETE", f"{_of(service)}/{segment(rule_id)}", if_match=if_match)


def _of(service: str) -> str:
    return f"/v1/services/{segment(service)}/rules"
