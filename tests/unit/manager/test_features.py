"""Feature switches: what a change leaves switched off, and what is refused then."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.common.contracts.ids import ProjectId, new_uuid
from headrace.common.contracts.problems import InvalidRequest
from headrace.manager.domain.features import FEATURES, changed, states
from headrace.manager.domain.records.projects import Project
from headrace.manager.usecases.features import check_model_uri
from headrace.manager.usecases.findings import Findings


def test_named_features_change_and_null_switches_on() -> None:
    off = changed((), {"webhooks": False, "own-ports": False, "model-uris": True})
    assert off == ("own-ports", "webhooks")
    assert changed(off, {"webhooks": None, "public-services": False}) == ("own-ports", "public-services")
    assert changed(off, {}) == off
    assert changed(off, None) == ()
    # of a newer version, which was rolled back: it stays
    assert changed(("own-ports", "teleport"), {"own-ports": True}) == ("teleport",)
    assert states(("webhooks", "teleport")) == {name: name != "webhooks" for name in FEATURES}


def test_a_model_uri_that_a_service_has_already_is_no_new_one() -> None:
    project = Project(ProjectId(new_uuid()), "vision", "", None, datetime.now(UTC), features_off=("model-uris",))
    check_model_uri(project, "hf://a/b", Findings(), before="hf://a/b")
    check_model_uri(project, None, Findings(), before="hf://a/b")
    with pytest.raises(InvalidRequest, match="model-uris off for project vision"):
        check_model_uri(project, "hf://a/c", Findings(), before="hf://a/b")
