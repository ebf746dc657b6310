"""`headrace rule …`: autoscaling."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Service, Yes, confirmed
from headrace.cli.commands.suggestions import complete_rule
from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import duration_s, usage
from headrace.cli.session import Session
from headrace.cli.text import cell, number
from headrace.common.contracts.http.rules import RuleView, UpdateRule
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec

RuleId = Annotated[UUID, typer.Argument(metavar="RULE_ID", help="See: headrace rule ls.", autocompletion=complete_rule)]
_SIGNS = {
    "<": Comparator.LESS_THAN,
    "<=": Comparator.LESS_THAN_OR_EQUAL,
    ">": Comparator.GREATER_THAN,
    ">=": Comparator.GREATER_THAN_OR_EQUAL,
}
_OF_KERNEL = frozenset(
    {"cpu_util", "cpu_used", "mem", "mem_util", "net_rx", "net_tx", "cuda_util", "cuda_mem_util"}
)  # contracts/messages/metrics.py: KernelSample
_SIGN_OF = {comparator: sign for sign, comparator in _SIGNS.items()}

_COLUMNS: Columns[RuleView] = (
    ("ID", lambda r: r.id),
    ("RULE", lambda r: rule_text(r.spec)),
    (
        "OBSERVED",
        lambda r: number(round(r.outcome.observed, 6)) if r.outcome and r.outcome.observed is not None else "-",
    ),
)


def rule_text(spec: RuleSpec) -> str:
    """Format a rule in one line."""
    off = "" if spec.enabled else " (off)"
    return (
        f"{spec.metric} {_SIGN_OF[spec.comparator]} {number(spec.threshold)}: {spec.step:+d} "
        f"in {spec.min_replicas}..{spec.max_replicas}, then {spec.cooldown_s} s{off}"
    )


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"add": add, "ls": ls, "update": update, "rm": rm})


_METRIC = (
    "Of the kernel: cpu_util, mem_util, cuda_util …; of the app-proxy: headrace_in_flight, "
    "headrace_requests_per_second …, and of the service as a whole: headrace_queued, headrace_queue_seconds, "
    "headrace_refused_per_second; or any the engine exposes: vllm:num_requests_waiting, a counter with :rate."
)
_SIGN = "<, <=, >, >= or LESS_THAN … GREATER_THAN_OR_EQUAL."
_STEP = "Replicas to add, or (negative) to take away."
_SOURCE = (
    "kernel: mean over kernels; inference-framework: mean over replicas of a metric of the engine or the app-proxy."
)
_MAX, _MIN, _REST = "Never more replicas than this.", "Never fewer replicas than this.", "Rest after firing."
_UNSET = {"min": "min_replicas", "cooldown": "cooldown_s", "disabled": "enabled"}
"""Field by flag, of those with a default."""


@changing
def add(
    session: Session,
    service: Service,
    metric: Annotated[str, typer.Option("--metric", help=_METRIC)],
    comparator: Annotated[str, typer.Option("--comparator", metavar="SIGN", help=_SIGN)],
    threshold: Annotated[float, typer.Option("--threshold", help="Value that the metric is compared with.")],
    step: Annotated[int, typer.Option("--step", help=_STEP)],
    max_replicas: Annotated[int, typer.Option("--max", help=_MAX)],
    min_replicas: Annotated[int, typer.Option("--min", help=_MIN)] = 1,
    source: Annotated[
        MetricSource | None, typer.Option("--source", help=f"{_SOURCE} Default: by the metric's name.")
    ] = None,
    cooldown: Annotated[str, typer.Option("--cooldown", metavar="DURATION", help=_REST)] = "300s",
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it without letting it fire.")] = False,
) -> None:
    """Add a rule: if the metric compared with the threshold is true, change the number of replicas by the step."""
    spec = RuleSpec(
        source=source or _source_of(metric),
        metric=metric,
        comparator=_comparator(comparator),
        threshold=threshold,
        step=step,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        cooldown_s=duration_s(cooldown, "--cooldown"),
        enabled=not disabled,
    )
    _show(session, session.client.rules.create(service, spec))


@changing
def update(
    session: Session,
    service: Service,
    rule_id: RuleId,
    metric: Annotated[str | None, typer.Option("--metric", help=_METRIC)] = None,
    comparator: Annotated[str | None, typer.Option("--comparator", metavar="SIGN", help=_SIGN)] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Value that the metric is compared with.")
    ] = None,
    step: Annotated[int | None, typer.Option("--step", help=_STEP)] = None,
    max_replicas: Annotated[int | None, typer.Option("--max", help=_MAX)] = None,
    min_replicas: Annotated[int | None, typer.Option("--min", help=_MIN)] = None,
    source: Annotated[
        MetricSource | None, typer.Option("--source", help=f"{_SOURCE} Default with --metric: by its name.")
    ] = None,
    cooldown: Annotated[str | None, typer.Option("--cooldown", metavar="DURATION", help=_REST)] = None,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="Whether it may fire.")] = None,
    unset: Annotated[list[str] | None, unset_flag(_UNSET)] = None,
) -> None:
    """Change a rule. Only given values change."""
    changes = {
        "source": source or (_source_of(metric) if metric else None),
        "metric": metric,
        "comparator": _comparator(comparator) if comparator else None,
        "threshold": threshold,
        "step": step,
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "cooldown_s": duration_s(cooldown, "--cooldown") if cooldown else None,
        "enabled": enabled,
    }
    given = emptied(unset, _UNSET) | {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise usage("found nothing to change; see headrace rule update --help")
    _show(session, session.client.rules.update(service, rule_id, UpdateRule.model_validate(given)))


def _show(session: Session, rule: RuleView) -> None:
    session.output.facts(rule, (("id", rule.id), ("rule", rule_text(rule.spec)), ("source", rule.spec.source)))


def ls(session: Session, service: Service) -> None:
    """List the rules with their last evaluation."""
    rules = list(session.client.rules.list(service))
    session.output.table(rules, _COLUMNS, empty="no rules")
    for rule in rules:
        if rule.outcome is not None:
            fired = "fired" if rule.outcome.fired else "did not fire"
            session.output.line(cell(f"{rule.id}: {fired} at {cell(rule.outcome.at)}: {rule.outcome.reason.text}"))


@changing
def rm(session: Session, service: Service, rule_id: RuleId, yes: Yes = False) -> None:
    """Remove a rule."""
    confirmed(f"remove the rule {rule_id} of {service}?", yes=yes)
    session.client.rules.delete(service, rule_id)
    session.output.done(f"removed the rule {rule_id}", deleted=rule_id)


def _source_of(metric: str) -> MetricSource:
    return MetricSource.KERNEL if metric in _OF_KERNEL else MetricSource.INFERENCE_FRAMEWORK


def _comparator(given: str) -> Comparator:
    wanted = _SIGNS.get(given) or Comparator.__members__.get(given.upper())
    if wanted is None:
        raise usage(f"--comparator {given}: allowed: {', '.join(_SIGNS)}, {', '.join(Comparator)}")
    return wanted
