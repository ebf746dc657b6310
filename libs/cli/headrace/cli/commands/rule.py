"""`headrace rule …`: autoscaling."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from headrace.cli.command import commands
from headrace.cli.commands.flags import Service, Yes, confirmed
from headrace.cli.output import Columns
from headrace.cli.parsing import duration_s, usage
from headrace.cli.session import Session
from headrace.cli.text import cell
from headrace.common.contracts.http.rules import RuleView
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec

_SIGNS = {
    "<": Comparator.LESS_THAN, "<=": Comparator.LESS_THAN_OR_EQUAL,
    ">": Comparator.GREATER_THAN, ">=": Comparator.GREATER_THAN_OR_EQUAL,
}  # fmt: skip
_OF_KERNEL = frozenset(
    {"cpu_util", "cpu_used", "mem", "mem_util", "net_rx", "net_tx", "cuda_util", "cuda_mem_util"}
)  # contracts/messages/metrics.py: KernelSample
_SIGN_OF = {comparator: sign for sign, comparator in _SIGNS.items()}

_COLUMNS: Columns[RuleView] = (
    ("ID", lambda r: r.id),
    ("RULE", lambda r: told(r.spec)),
    ("OBSERVED", lambda r: f"{r.outcome.observed:g}" if r.outcome and r.outcome.observed is not None else "-"),
)


def told(spec: RuleSpec) -> str:
    """Return a rule in one line."""
    off = "" if spec.enabled else " (off)"
    return (
        f"{spec.metric} {_SIGN_OF[spec.comparator]} {spec.threshold:g}: {spec.step:+d} "
        f"in {spec.min_replicas}..{spec.max_replicas}, then {spec.cooldown_s} s{off}"
    )


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands(app, {"add": add, "ls": ls, "rm": rm})


def add(
    session: Session,
    service: Service,
    metric: Annotated[
        str,
        typer.Option(
            "--metric",
            help="Of the kernel: cpu_util, mem_util, cuda_util …; of the app-proxy: headrace_in_flight, "
            "headrace_requests_per_second …, and of the service as a whole: headrace_queued, headrace_queue_seconds, "
            "headrace_refused_per_second; or any the engine exposes: vllm:num_requests_waiting, a counter with :rate.",
        ),
    ],
    comparator: Annotated[
        str, typer.Option("--comparator", metavar="SIGN", help="<, <=, >, >= or LESS_THAN … GREATER_THAN_OR_EQUAL.")
    ],
    threshold: Annotated[float, typer.Option("--threshold")],
    step: Annotated[int, typer.Option("--step", help="Replicas to add, or (negative) to take away.")],
    max_replicas: Annotated[int, typer.Option("--max", help="Never more replicas than this.")],
    min_replicas: Annotated[int, typer.Option("--min", help="Never fewer replicas than this.")] = 1,
    source: Annotated[
        MetricSource | None,
        typer.Option(
            "--source",
            help="kernel: mean over kernels; inference-framework: mean over replicas of what engine or app-proxy report. "
            "Default: by the metric's name.",
        ),
    ] = None,
    cooldown: Annotated[str, typer.Option("--cooldown", metavar="DURATION", help="Rest after firing.")] = "300s",
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it without letting it fire.")] = False,
) -> None:
    """Add a rule: when the metric compares so with the threshold, change the replicas by the step."""
    spec = RuleSpec(
        source=source or _source_of(metric), metric=metric, comparator=_comparator(comparator), threshold=threshold, step=step,
        min_replicas=min_replicas, max_replicas=max_replicas, cooldown_s=duration_s(cooldown, "--cooldown"), enabled=not disabled,
    )  # fmt: skip
    made = session.client.rules.create(service, spec)
    session.output.facts(made, (("id", made.id), ("rule", told(made.spec)), ("source", made.spec.source)))


def ls(session: Session, service: Service) -> None:
    """List the rules, with what each saw and did last."""
    rules = list(session.client.rules.list(service))
    session.output.table(rules, _COLUMNS, empty="no rules")
    for rule in rules:
        if rule.outcome is not None:
            fired = "fired" if rule.outcome.fired else "did not fire"
            session.output.line(cell(f"{rule.id}: {fired} at {cell(rule.outcome.at)}: {rule.outcome.reason.text}"))


def rm(
    session: Session, service: Service, rule_id: Annotated[UUID, typer.Argument(metavar="RULE_ID")], yes: Yes = False
) -> None:
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
