"""Generator of docs/metrics.md, from the metrics that the services register and their readiness checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final, get_args

from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from headrace.agent import metrics as agent
from headrace.appproxy.control import exposition
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.stats import StatsRegistry
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.autoscaler import metrics as autoscaler
from headrace.common.contracts.readiness import CHECKS, AppProxyWarning, ManagerWarning
from headrace.common.contracts.vocabulary import KernelState, SessionStatus
from headrace.common.obs import metrics as common
from headrace.manager import metrics as manager
from headrace.manager.store import retention

_REPLICAS: Final = "a replica's id; removed two minutes after the replica"
LABELS: Final[Mapping[str, str]] = {
    "loop": "a loop of the service ([architecture.md](architecture.md#loops))",
    "outcome of headrace_reconcile_pass_seconds": "`done`, `failed`; `deferred`: what it needs is not there yet (the bus)",
    "method": "an HTTP method",
    "route": "a route as it is declared (`/v1/services/{service}`), or `(none)`: those of the service",
    "code of headrace_http_request_seconds": "a status of HTTP",
    "version": "a version of Headrace",
    "message": "a kind of message ([contracts.md](contracts.md#bus-messages))",
    "direction": "`in`, `out`",
    "reason of headrace_bus_refused_total": "`malformed`; `foreign`: the content names another sender or addressee than the"
    " subject; `foreign-kernel`: a machine reports a kernel of another one, which does not count;"
    " `too-many-waiting`: they arrive faster than they are handled",
    "status of headrace_manager_agents": "`alive`, `lost`",
    "project": "a project's name",
    "service of headrace_manager_service_replicas": "a service's name",
    "state of headrace_manager_service_replicas": "`wanted`, `serving`",
    "status": "one of " + ", ".join(f"`{status}`" for status in get_args(SessionStatus) if status != "ended"),
    "reason of headrace_manager_ended_followers_total": "`too-slow`: the reader took less than there was; `no-access`: its key or"
    " login ended, or it may not see the project any more; `stopping`: the manager stopped",
    "outcome of headrace_manager_webhook_deliveries_total": "`delivered`, `failed`",
    "cause": "`exited`: its container; `unhealthy`: it failed its health checks, and was replaced",
    "kind": "one of " + ", ".join(f"`{kind}`" for kind in sorted({*get_args(retention.Kind), "leftovers"})),
    "outcome of headrace_manager_measured_folders_total": "`as-counted`, `corrected`; `busy`: it changed meanwhile, and is"
    " measured again",
    "state of headrace_agent_kernels": "one of " + ", ".join(f"`{state}`" for state in get_args(KernelState)),
    "operation": "`start`, `stop`, `remove`",
    "outcome of headrace_agent_operations_total": "`done`, `failed`, `cancelled`: the plan changed",
    "outcome of headrace_agent_start_seconds": "`started`, `failed`",
    "outcome of headrace_agent_health_checks_total": "`passed`, `failed`",
    "outcome of headrace_agent_engine_scrapes_total": "`read`, `failed`; `none`: the engine has no such page",
    "service": "a service's name; empty where the request named none that exists. Removed two minutes after the service",
    "revision": "a revision's id; as `replica`",
    "replica": _REPLICAS,
    "code of headrace_proxy_requests_total": "a status of HTTP; `left`: the caller went before the response",
    "reason of headrace_proxy_interrupted_responses_total": "a code ([reasons.md](reasons.md#interrupted-responses))",
    "reason of headrace_proxy_refused_total": "a code ([reasons.md](reasons.md#refusals))",
    "reason of headrace_proxy_retries_total": "a code ([reasons.md](reasons.md#retries))",
    "reason of headrace_proxy_malformed_total": "a code ([reasons.md](reasons.md#refusals))",
    "state of headrace_proxy_illegal_transitions_total": "a state of a request"
    " ([data-plane.md](data-plane.md#for-those-who-change-it))",
    "outcome of headrace_manager_imports_total": "`done`, `failed`",
    "event of headrace_manager_snapshots_total": "`made`, `removed`",
    "event": "an event of a request (likewise)",
    "outcome of headrace_autoscaler_samples_total": "`kept`: a rule names the metric; `unwanted`: none does, or its"
    " replica does not serve; `foreign`: it is of a kernel on another machine than the sender's; `dropped`: the buffer is full, or"
    " Redis does not answer",
    "outcome of headrace_autoscaler_scale_requests_total": "`applied`; `refused` by the manager; `unanswered`; `unrecorded`:"
    " Redis failed before the request, which was not sent",
    "reason of headrace_autoscaler_rules": "a code ([reasons.md](reasons.md#scaling))",
}
"""Values of each label, by its name where it means the same in all metrics, else by `<label> of <metric>`. All are closed
sets or bounded by the fleet."""

WATCH: Final[Mapping[str, str]] = {
    "headrace_reconcile_pass_seconds": "passes `failed` again and again (the log has `pass_failed`); passes near 60 s, where"
    " they are cancelled",
    "headrace_reconcile_last_success_timestamp_seconds": "older than a few minutes, for any loop",
    "headrace_http_request_seconds": "5xx; the 99th percentile above 1 s (downloads and log streams take longer)",
    "headrace_http_certificate_expiry_timestamp_seconds": "less than two weeks away",
    "headrace_manager_followers": "near 1,500, its bound: further ones are refused (503)",
    "headrace_manager_webhook_deliveries_total": "all `failed`: the way out of the managers is closed; some: `headrace webhook ls`"
    " of each project",
    "headrace_manager_ended_followers_total": "`too-slow` again and again: readers or their network cannot keep up",
    "headrace_build_info": "several versions for longer than an upgrade takes (`headrace status` names them)",
    "headrace_bus_messages_total": "no `in` for a minute: the service hears nothing",
    "headrace_bus_refused_total": "any `foreign` or `foreign-kernel` (somebody has the wrong credentials, or worse); `malformed` after an upgrade;"
    " `too-many-waiting`: the manager is too slow for its agents",
    "headrace_manager_sessions": "many `pending` (no capacity) or `stopping` (machines do not answer) for minutes",
    "headrace_manager_agents": "any `lost` that you did not switch off",
    "headrace_manager_service_replicas": "`serving` 0 while some are `wanted`: callers get no answer; below `wanted` for"
    " longer than a start takes",
    "headrace_manager_last_backup_timestamp_seconds": "older than you can afford to lose",
    "headrace_manager_failed_starts_total": "a steady rate: `headrace service errors` says why",
    "headrace_manager_ended_replicas_total": "any rate that stays: replicas crash; `headrace service errors` has exit code and last"
    " lines",
    "headrace_manager_placed_sessions_total": "none while `headrace_manager_unplaced_sessions` is above 0 and machines are free",
    "headrace_manager_unplaced_sessions": "above 0 for longer than it takes to add a machine",
    "headrace_manager_placement_seconds": "above 1 s: more pending sessions than one pass should decide",
    "headrace_manager_skipped_rows_total": "any: the log has `row_skipped` with the row",
    "headrace_manager_deleted_rows_total": "no increase for days in an installation that is used: housekeeping does not get"
    " through",
    "headrace_manager_measured_folders_total": "`corrected` often: files are changed beside the manager",
    "headrace_manager_imports_total": "`failed` grows: sources are away, or refuse; `headrace service show` says why",
    "headrace_manager_imported_bytes_total": "none while services wait with `model-importing`",
    "headrace_manager_folders_purged_total": "stands still for days while `headrace folder trash` lists what is overdue",
    "headrace_manager_snapshots_total": "`removed` far below `made` for weeks: storage fills with files of old revisions",
    "headrace_manager_snapshot_bytes_total": "as you plan the network between managers and machines",
    "headrace_manager_snapshot_requests": "near the limits of [limits.md](limits.md): agents wait for their turn",
    "headrace_manager_published_total": "no increase while users change services",
    "headrace_manager_unbuilt_tables": "above 0: `headrace agent show` and the services' reasons name the cause",
    "headrace_agent_kernels": "many that are not `running` for minutes",
    "headrace_agent_plan_generation": "it stays while plans are published: the agent does not get them",
    "headrace_agent_operations_total": "`failed`: the log has `operation_failed`",
    "headrace_agent_start_seconds": "minutes: images are pulled at each start; many `failed`",
    "headrace_agent_health_checks_total": "a rising share of `failed`",
    "headrace_agent_disk_free_bytes": "near the agent's `disk_reserve_bytes`, below which nothing is placed there (`disk-low`)",
    "headrace_agent_engine_disk_free_bytes": "likewise; `docker system df` says what takes it",
    "headrace_agent_disk_writes_failed_total": "any: the disk is full or broken; a restart of the agent would forget the newest"
    " state",
    "headrace_agent_plans_refused_total": "more than a few after a restart of NATS: old plans are published again",
    "headrace_agent_engine_scrapes_total": "`failed`: rules that use the engine's metrics do not fire",
    "headrace_agent_folder_fetched_bytes_total": "none while `headrace_agent_folder_fetches` is above 0",
    "headrace_agent_folder_fetches": "the same for longer than a model needs to come",
    "headrace_agent_folder_broken_requests_total": "a steady rate: the log has `folder_fetch_interrupted` with the cause",
    "headrace_agent_folder_cache_bytes": "near `folder_cache_bytes`, with evictions",
    "headrace_agent_folder_cache_evictions_total": "often: the cache is too small for what runs in turn on the machine",
    "headrace_agent_log_streams": "near the limits of [limits.md](limits.md): further readers are refused",
    "headrace_proxy_requests_total": "a share of 5xx that rises; all replicas of a service but one without requests",
    "headrace_proxy_interrupted_responses_total": "any rate that is no deploy: replicas die or hang, or time out",
    "headrace_proxy_cut_requests_total": "any: the drain's grace of a service is shorter than its requests",
    "headrace_proxy_sent_bytes_total": "as you plan the network",
    "headrace_proxy_received_bytes_total": "as you plan the network",
    "headrace_proxy_prompt_tokens_total": "as you plan capacity",
    "headrace_proxy_completion_tokens_total": "none while requests succeed: the engine does not report `usage`, and limits of"
    " tokens count nothing",
    "headrace_proxy_request_seconds": "above what you promise callers",
    "headrace_proxy_time_to_first_byte_seconds": "above what you promise callers; it rises before a queue forms in the engine",
    "headrace_proxy_time_per_event_seconds": "above what you promise callers: replicas are too full",
    "headrace_proxy_in_flight": "one replica far above the others of its weight",
    "headrace_proxy_queued": "above 0 for longer than a scale-out takes",
    "headrace_proxy_queue_seconds": "near the service's `--queue-timeout`, where requests are refused",
    "headrace_proxy_refused_total": "429 and 503 codes (`replicas-full`, `queue-full`, `starting`): too little capacity;"
    " `internal-error`: a bug",
    "headrace_proxy_retries_total": "a steady rate: one replica fails; at a fifth of the requests the retry budget ends",
    "headrace_proxy_ejections_total": "any that comes back: `/routes` shows which replica is `ejected`",
    "headrace_proxy_preflights_total": "above what pages can cause: browsers do not cache the response",
    "headrace_proxy_malformed_total": "a sudden rate: a scanner, or a broken client or front",
    "headrace_proxy_illegal_transitions_total": "any: report it as a bug, with the log's `illegal_transition`",
    "headrace_proxy_connections": "near `headrace_proxy_connection_limit`, where further ones get 503 `proxy-full`",
    "headrace_proxy_connection_limit": "below `max_connections`: raise the limit of open files",
    "headrace_proxy_workers": "below the setting `workers` for longer than a moment: workers die (`worker_died`)",
    "headrace_proxy_route_tables": "0, or fewer than there are services",
    "headrace_proxy_bus_connected": "0 for a minute: changes and revocations do not arrive",
    "headrace_proxy_table_store_failures_total": "any: the disk is full, and a restart without the bus would serve old tables",
    "headrace_proxy_usage_batches": "grows for an hour: no manager stores usage (`usage_not_acknowledged`)",
    "headrace_proxy_usage_lost_requests_total": "any: these requests are missing in the usage of callers",
    "headrace_autoscaler_samples_total": "`dropped`; any `foreign` (an agent lies); or no `kept` while there are rules",
    "headrace_autoscaler_services": "0 while rules exist: the rule tables do not arrive",
    "headrace_autoscaler_leased_services": "the sum over all autoscalers is below the number of services with rules",
    "headrace_autoscaler_scale_requests_total": "`unanswered` or `unrecorded`; `refused` by a quota",
    "headrace_autoscaler_rules": "many `metric-missing`: the rules' metrics are not reported",
    "headrace_autoscaler_paused": "1",
    "headrace_autoscaler_reports_total": "no increase while rules exist",
}
"""When an operator should look closer, by metric."""

_INTRODUCTION = """\
# Metrics and readiness checks

Generated from the code by `make contracts`; a test fails when it is not current.

Every service has `/metrics` (Prometheus text format), `/livez` and `/readyz` on its admin port, the manager on the port of its
API. Names are `headrace_<service>_<what>_<unit>`, without the service where all have the metric; the app-proxy's say `proxy`.
Units are seconds, bytes, or a number of what is named. Beside these are the `process_*` and `python_*` metrics of
`prometheus_client`.
"""


@dataclass(frozen=True)
class Family:
    """Metric as it is asked for: its name (counters end in `_total`), type, labels and help text."""

    name: str
    type: str
    labels: tuple[str, ...]
    text: str

    @property
    def unit(self) -> str:
        """Unit, by the name."""
        name = self.name.removesuffix("_total")
        return next((unit for unit in ("seconds", "bytes", "tokens") if name.endswith(f"_{unit}")), "")


def families() -> dict[str, list[Family]]:
    """Return the metrics of each service: heading → metrics."""
    collector = exposition.TrafficCollector(StatsRegistry(), TrafficSnapshot, RouteTables(), lambda: 1)
    return {
        "All services": [*_of(common)],
        "Manager": [*_of(manager)],
        "Agent": [*_of(agent)],
        "App-proxy": [*_of(exposition), *map(_family, collector.collect())],
        "Autoscaler": [*_of(autoscaler)],
    }


def _of(module: ModuleType) -> Iterator[Family]:
    for value in vars(module).values():
        if isinstance(value, MetricWrapperBase):
            (described,) = value.describe()
            yield _family(described, value._labelnames)


def _family(metric: Metric, labels: Sequence[str] | None = None) -> Family:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    own = getattr(metric, "_labelnames", ()) if labels is None else labels
    return Family(name, metric.type, tuple(own), metric.documentation)


def label_text(family: Family, label: str) -> str:
    """Return the values of a label of this metric. Raises KeyError where none are written down."""
    return LABELS.get(f"{label} of {family.name}") or LABELS[label]


def page() -> str:
    """Return the page."""
    lines = [_INTRODUCTION]
    for service, metrics in families().items():
        lines += [f"## {service}", ""]
        if service in CHECKS:
            lines += [*_checks(service), ""]
            lines += ["### Metrics", ""]
        lines += [
            *_table(("metric", "type, unit", "labels", "what it says", "look closer at"), map(_cells, metrics)),
            "",
        ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _cells(family: Family) -> Sequence[str]:
    labels = "; ".join(f"`{label}`: {label_text(family, label)}" for label in family.labels)
    kind = f"{family.type}, {family.unit}" if family.unit else family.type
    return (f"`{family.name}`", kind, labels, family.text, WATCH[family.name])


def _checks(service: str) -> Iterator[str]:
    for number, catalogue in enumerate(CHECKS[service]):
        warns = catalogue in {AppProxyWarning, ManagerWarning}
        title = "Warnings" if warns else "Readiness checks"
        head = ("warning" if warns else "check", "what it means when it fails", "what to do")
        yield from ([""] if number else [])
        yield from (f"### {title}", "", (catalogue.__doc__ or "").strip(), "")
        yield from _table(head, ((f"`{check}`", check.meaning, check.remedy) for check in catalogue))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)).replace(" ", ""), *map(_row, rows)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
