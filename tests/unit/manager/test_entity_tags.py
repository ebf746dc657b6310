"""Entity tags: they tell every change that somebody can make, and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final, cast

from headrace.manager.domain.entity_tags import tag_of_service
from headrace.manager.domain.records.services import Service, ServiceFacts

FIXED: Final = frozenset({"name", "project_id", "resource_group", "created_by", "created_at"})
BY_THE_SYSTEM: Final = frozenset(
    {
        "revision_id",  # its number is told
        "served_revision_id",
        "failed_starts",
        "next_start_at",
        "ends",
        "next_restart_at",
        "last_end_at",
        "problem",
        "rev",
        "updated_at",
    }
)


def test_the_tag_of_a_service_has_every_field_that_can_be_set() -> None:
    filled: dict[str, Any] = {field.name: field.name for field in fields(Service)}
    facts = ServiceFacts(Service(**filled), "project", "creator", revision=1, resolved=cast("Any", None))
    untold = {
        name
        for name in filled
        if tag_of_service(replace(facts, service=Service(**{**filled, name: "other"}))) == tag_of_service(facts)
    }
    assert untold == FIXED | BY_THE_SYSTEM
    assert tag_of_service(replace(facts, revision=2)) != tag_of_service(facts)
    assert tag_of_service(replace(facts, served=2, published=3)) == tag_of_service(facts)
