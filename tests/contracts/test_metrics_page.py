"""docs/metrics.md has every metric and readiness check of the code, and their names keep to Prometheus' conventions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from headrace.common.contracts import readiness
from headrace.common.contracts.readiness import CHECKS, ReadinessCheck
from tests.contracts.metrics_page import LABELS, WATCH, Family, families, label_text
from tests.contracts.snapshots import ROOT

FAMILIES = [family for service in families().values() for family in service]
KINDS = ("Counter", "Gauge", "Histogram", "Summary", "Info", "Enum")
PREFIXES = "manager|agent|proxy|autoscaler|reconcile|http|bus|build"
BASE_UNITS = ("seconds", "bytes")
OTHER_UNITS = ("ms", "milliseconds", "microseconds", "minutes", "kb", "mb", "kilobytes", "megabytes", "percent")


def made() -> Iterator[str]:
    """The name of every metric that is constructed anywhere in the services and libraries."""
    for path in [*ROOT.glob("libs/*/headrace/**/*.py"), *ROOT.glob("services/*/headrace/**/*.py")]:
        text = path.read_text()
        if not any(f"{kind}(" in text or f"{kind}MetricFamily(" in text for kind in KINDS):
            continue  # to parse all files takes seconds
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            first = node.args[0]
            if node.func.id.removesuffix("MetricFamily") in KINDS and isinstance(first, ast.Constant):
                assert isinstance(first.value, str)
                yield first.value.removesuffix("_total")


def test_every_metric_of_the_code_has_a_row() -> None:
    names = list(made())
    assert len(names) > 40
    assert set(names) <= {family.name.removesuffix("_total") for family in FAMILIES}


def test_every_metric_says_when_to_worry_and_nothing_else_does() -> None:
    assert sorted(family.name for family in FAMILIES) == sorted(WATCH)


def test_every_label_says_which_values_it_has() -> None:
    used = {(family.name, label) for family in FAMILIES for label in family.labels}
    for name, label in used:
        assert label in LABELS or f"{label} of {name}" in LABELS, f"{label} of {name}"
    known = {label for _, label in used} | {f"{label} of {name}" for name, label in used}
    assert known >= LABELS.keys()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_metric_is_named_by_the_conventions_of_prometheus(family: Family) -> None:
    """One prefix scheme, base units as suffix, `_total` for counters and for nothing else, `reason` for codes."""
    assert re.fullmatch(rf"headrace_({PREFIXES})_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.type == "counter")
    words = family.name.removesuffix("_total").split("_")
    assert not set(words) & set(OTHER_UNITS)
    assert not set(words[:-1]) & set(BASE_UNITS), "the unit is the last word"
    assert family.type != "histogram" or words[-1] in BASE_UNITS
    assert "why" not in family.labels, "a code is the label `reason`"
    assert not set(family.labels) & {"le", "quantile", "job", "instance"}, "Prometheus sets these"
    assert family.text.endswith("."), "a help text is a sentence"
    assert all(label_text(family, label) for label in family.labels)


def _catalogues() -> list[type[ReadinessCheck]]:
    """Return the catalogues of services; other tests have checks of their own."""
    return [kind for kind in ReadinessCheck.__subclasses__() if kind.__module__ == readiness.__name__]


def test_every_catalogue_of_checks_is_on_the_page() -> None:
    listed = [catalogue for catalogues in CHECKS.values() for catalogue in catalogues]
    assert sorted(c.__name__ for c in listed) == sorted(c.__name__ for c in _catalogues())
    assert all(check.meaning and check.remedy for catalogue in listed for check in catalogue)


def test_every_check_is_used_by_its_service() -> None:
    """The type of `make_app` lets no other name into /readyz; this finds rows that no service uses any more."""
    code = "".join(path.read_text() for path in ROOT.glob("services/*/headrace/*/wiring.py"))
    unused = [
        f"{kind.__name__}.{check.name}"
        for kind in _catalogues()
        for check in kind
        if f"{kind.__name__}.{check.name}" not in code
    ]
    assert unused == []
