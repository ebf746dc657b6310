"""Use cases of autoscaling rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from headrace.common.contracts import wording
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.rules import RuleView, UpdateRule
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.problems import NotFound
from headrace.common.contracts.rule import RuleSpec
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import RuleState
from headrace.manager.domain.entity_tags import tag_of_rule
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.rules import Rule
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.store import rules
from headrace.manager.usecases.context import as_id, check_match, locked_service, make_page, record_of, service_for
from headrace.manager.usecases.idempotency import keep
from headrace.manager.usecases.ports import Pokes, RuleOutcomes
from headrace.manager.views.rules import rule_view


class Rules:
    """Use cases of autoscaling rules."""

    def __init__(self, pool: Pool, outcomes: RuleOutcomes, pokes: Pokes, limits: ObjectLimits) -> None:
        self._pool = pool
        self._outcomes = outcomes
        self._pokes = pokes
        self._limits = limits

    async def add(self, actor: Actor, reference: str, spec: RuleSpec) -> RuleView:
        """Add a rule. Raises NotFound, Forbidden, Conflict when the service has too many."""
        async with transaction(self._pool) as con:
            facts = await locked_service(con, actor, reference, "member")  # one at a time, so that the count holds
            there = await rules.count(con, facts.service.id)
            object_limits.check(f"service {facts.service.name}", "rules", there, self._limits.rules_per_service)
            made = await rules.insert(con, facts.service.id, spec, actor.user_id)
            await _record(con, actor, facts, "rule.added", None, made)
            view = rule_view(made)
            await keep(con, actor, view)
        self._pokes.poke("rules", "plans")
        return view

    async def page(self, actor: Actor, reference: str, *, after: UUID, limit: int) -> Page[RuleView]:
        """Return the service's rules with the last outcome of each. Raises NotFound."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await rules.page(con, facts.service.id, after=after, limit=limit + 1)
        return make_page(found, limit, lambda rule: self._view(facts.service.id, rule), lambda rule: rule.id)

    async def replace(self, actor: Actor, reference: str, rule: str, spec: RuleSpec) -> RuleView:
        """Replace a rule. Raises NotFound, Forbidden."""
        rule_id = as_id(rule, "rule")
        async with transaction(self._pool) as con:
            facts = await service_for(con, actor, reference, "member")
            before = await self._held(con, actor, facts, rule_id)
            after = await rules.replace(con, facts.service.id, rule_id, spec)
            assert after is not None  # noqa: S101 - it is locked
            await _record(con, actor, facts, "rule.replaced", before, after)
        self._pokes.poke("rules", "plans")
        return self._view(facts.service.id, after)

    async def update(self, actor: Actor, reference: str, rule: str, change: UpdateRule) -> RuleView:
        """Update the given fields of a rule.

        Raises NotFound, Forbidden, InvalidRequest when the fields contradict each other.
        """
        rule_id = as_id(rule, "rule")
        async with transaction(self._pool) as con:
            facts = await service_for(con, actor, reference, "member")
            before = await self._held(con, actor, facts, rule_id)
            spec = _applied(change, before.spec)
            await rules.replace(con, facts.service.id, rule_id, spec)
            after = replace(before, spec=spec)
            await _record(con, actor, facts, "rule.replaced", before, after)
        self._pokes.poke("rules", "plans")
        return self._view(facts.service.id, after)

    async def remove(self, actor: Actor, reference: str, rule: str) -> None:
        """Remove a rule. Raises NotFound, Forbidden."""
        rule_id = as_id(rule, "rule")
        async with transaction(self._pool) as con:
            facts = await service_for(con, actor, reference, "member")
            before = await self._held(con, actor, facts, rule_id)
            await rules.delete(con, facts.service.id, rule_id)
            await _record(con, actor, facts, "rule.removed", before, None)
        self._pokes.poke("rules", "plans")

    async def _held(self, con: Connection, actor: Actor, facts: ServiceFacts, rule_id: UUID) -> Rule:
        """Lock the rule until the transaction ends. Raises NotFound, PreconditionFailed."""
        held = await rules.hold(con, facts.service.id, rule_id)
        if held is None:
            raise NotFound(f"service {facts.service.name} has no rule {rule_id}")
        check_match(actor, f"rule {rule_id}", tag_of_rule(held))
        return held

    def _view(self, service_id: ServiceId, rule: Rule) -> RuleView:
        return rule_view(rule, self._outcomes.of(service_id, rule.id))


async def _record(
    con: Connection, actor: Actor, facts: ServiceFacts, action: str, before: Rule | None, after: Rule | None
) -> None:
    rule = after or before
    assert rule is not None  # noqa: S101 - it was there before, or is now
    was, now = (RuleState(rule=one.spec) if one else None for one in (before, after))
    which: dict[str, Any] = {"rule_id": str(rule.id)} | ({"spec": after.spec.model_dump(mode="json")} if after else {})
    await record_of(con, actor, action, facts.scope, before=was, after=now, **which)


def _applied(change: UpdateRule, spec: RuleSpec) -> RuleSpec:
    try:
        return change.applied(spec)
    except ValidationError as error:
        raise wording.refusal(wording.rows(error)) from None
