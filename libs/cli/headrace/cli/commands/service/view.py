"""Output of services: a row, all facts, and progress lines."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.cli.commands.service.rollout_flags import rollout_words
from headrace.cli.commands.service.spec_view import spec_facts
from headrace.cli.commands.service.traffic_flags import traffic_facts
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import cell, mapping, size, slots
from headrace.common.contracts.http.model_imports import ModelImport
from headrace.common.contracts.http.replicas import ReplicaEnd, ReplicaView, RouteError
from headrace.common.contracts.http.services import ServiceDetail, ServiceView
from headrace.common.text.counting import count

ERROR_COLUMNS: Columns[RouteError] = (
    ("AT", lambda e: e.at),
    ("REPLICA", lambda e: e.session_id),
    ("ERROR", lambda e: e.reason.text),
)

END_COLUMNS: Columns[ReplicaEnd] = (
    ("ENDED", lambda e: e.at),
    ("REPLICA", lambda e: e.session_id),
    ("REVISION", lambda e: e.revision),
    ("MACHINE", lambda e: e.agent_id or "-"),
    ("EXIT", lambda e: e.signal or ("-" if e.exit_code is None else e.exit_code)),
    ("WHY", lambda e: e.reason.text),
)
_SHOWN_ENDS = 3
_URLS = {"path": "by path", "host": "by host name", "port": "by own port"}


def show_service(session: Session, service: ServiceDetail) -> None:
    """Print a service with its replicas and errors."""
    output = session.output
    output.facts(
        service,
        (
            ("service", service.name),
            ("id", service.id),
            ("project", service.project),
            (
                "status",
                f"{service.status}, {service.phase}, {service.healthy_replicas} of {service.replicas} replicas healthy",
            ),
            ("reason", f"{service.reason.text} ({service.reason.code})"),
            ("endpoint", service.endpoint),
            *further_urls(service),
            ("access", "open to public" if service.open_to_public else "with a token"),
            ("example", service.example),
            ("revision", _revision(service)),
            ("rollout", rollout_words(service.rollout)),
            ("runtime", service.runtime),
            ("image", service.image),
            ("folder", _folder(service)),
            *_source(service),
            ("slots", slots(service.slots)),
            *(spec_facts(service.effective) if service.effective is not None else ()),
            ("resource group", service.resource_group),
            ("drain grace", f"{service.drain_grace_s:g} s"),
            *traffic_facts(service),
            ("description", service.description or None),
            ("tags", " ".join(service.tags) or None),
            ("metadata", mapping(dict(service.metadata))),
            ("created", f"{cell(service.created_at)} by {service.created_by}"),
            ("updated", service.updated_at),
        ),
    )
    for line in (*replica_lines(service.replica_list), *_end_lines(service), *_error_lines(service)):
        output.line(line)


def progress_lines(service: ServiceDetail) -> list[str]:
    """Return the lines shown while waiting: the state with its reason, and each replica."""
    return [
        cell(
            f"{service.name}: {service.status}, {service.phase}, {service.healthy_replicas}/{service.replicas}: {service.reason.text}"
        ),
        *(f"  {line}" for line in replica_lines(service.replica_list)),
    ]


def replica_lines(replicas: Iterable[ReplicaView]) -> list[str]:
    """Return one line per replica: machine, state, reason."""
    return [
        cell(
            f"replica {replica.id}  {replica.status}  {replica.health}  "
            f"{replica.agent_id or 'no machine yet'}  {replica.address or ''}  {_weight(replica)}{replica.reason.text}"
        ).replace("    ", "  ")
        for replica in replicas
    ]


def further_urls(service: ServiceView) -> list[tuple[str, object]]:
    """Return the URLs beside the endpoint by path; what is wrong with one of them, that one included."""
    facts: list[tuple[str, object]] = []
    for one in service.urls:
        words = one.url if one.ready else f"{one.url}, not served everywhere: {one.reason.text}"
        if one.kind != "path" or not one.ready:
            facts.append((_URLS[one.kind], words))
    if service.endpoint_port is not None and not service.urls:  # a manager of an older version
        facts.append((_URLS["port"], service.endpoint_port))
    return facts


def _weight(replica: ReplicaView) -> str:
    return "" if replica.weight == 100 else f"weight {replica.weight}  "


def _revision(service: ServiceView) -> str:
    if service.served_revision in {None, service.revision}:
        return str(service.revision)
    return f"{service.revision}; {service.served_revision} served before and is looked after until this one serves"


def _folder(service: ServiceDetail) -> object:
    mounts = service.effective.mounts if service.effective is not None else ()
    name = next((mount.folder for mount in mounts if mount.folder_id == service.folder_id), None) or service.folder_id
    if not service.folder_changed:
        return name
    then = f"to roll its files out: headrace service update {service.name} --refresh"
    return f"{name}, changed since revision {service.revision}; {then}"


def _source(service: ServiceDetail) -> list[tuple[str, object]]:
    """Return where the files come from, and how far they are."""
    source = service.effective.source if service.effective is not None else None
    if source is None:
        return []
    facts: list[tuple[str, object]] = [
        ("model uri", f"{source.uri}, {size(source.size_bytes)}, version {source.version}")
    ]
    if (found := service.model_import) is not None:
        facts.append(("import", _import_words(found)))
    return facts


def _import_words(found: ModelImport) -> str:
    done = f"{size(found.done_bytes)} of {size(found.size_bytes)}"
    if found.state == "done":
        return f"done at {cell(found.imported_at)}"
    if found.state == "running":
        left = f", about {found.eta_s:.0f} s left" if found.eta_s is not None else ""
        return f"{done}, {size(int(found.bytes_per_s))}/s{left}" if found.bytes_per_s else done
    if found.state == "waiting":
        return "waits for its turn"
    return f"failed {count(found.attempts, 'time')}: {found.error}; again at {cell(found.next_try_at)}"


def _end_lines(service: ServiceDetail) -> list[str]:
    lines = [
        cell(f"ended {cell(end.at)}  replica {end.session_id}  revision {end.revision}  {end.reason.text}")
        for end in service.ends[:_SHOWN_ENDS]
    ]
    if lines:
        row = f"{service.ends_in_a_row} in a row; " if service.ends_in_a_row > 1 else ""
        then = f"next start at {cell(service.next_restart_at)}; " if service.next_restart_at is not None else ""
        lines.append(f"{row}{then}all that are kept: headrace service errors {service.name}")
    return lines


def _error_lines(service: ServiceDetail) -> list[str]:
    lines = [
        cell(f"error {cell(error.at)}  replica {error.session_id}  {error.reason.text}") for error in service.errors
    ]
    if service.next_retry_at is not None and service.phase == "deploying":
        lines.append(f"next try at {cell(service.next_retry_at)}; sooner with: headrace service retry {service.name}")
    elif lines:
        lines.append(f"clear the errors and try again with: headrace service retry {service.name}")
    return lines
