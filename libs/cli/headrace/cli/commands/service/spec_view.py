"""Output of effective specs: `headrace service show`, also of an earlier revision, and `--effective`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import cell, size, slots
from headrace.common.contracts.http.revisions import EffectiveMount, EffectiveSpec, RevisionDetail
from headrace.common.contracts.model import HealthCheck, ModelMetadata, PreStartAction
from headrace.common.contracts.origin import Origin
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.text.counting import count

Facts = list[tuple[str, object]]


def show_revision(session: Session, service: str, number: int) -> None:
    """Print one revision: its author, and the effective spec of its replicas."""
    found: RevisionDetail = session.client.services.revision(service, number)
    made = f"{cell(found.created_at)} by {found.created_by}"
    spec = found.effective
    session.output.facts(
        found,
        (
            ("service", service),
            ("revision", found.number),
            ("created", made),
            ("message", found.message or None),
            ("runtime", spec.runtime),
            ("image", spec.image),
            ("size", found.spec.size),
            ("slots", slots(spec.slots)),
            *spec_facts(spec),
        ),
    )


def show_effective(session: Session, service: str, number: int) -> None:
    """Print each effective value of a revision, and where it comes from."""
    found: RevisionDetail = session.client.services.revision(service, number)
    if session.output.as_json:
        session.output.record(found)
        return
    session.output.line(f"service {service}, revision {found.number}")
    session.output.table(effective_values(found.effective, found.origins), VALUES, empty="")
    if not found.origins:
        session.output.note("an older version made this revision: it is not known where its values come from")


def effective_values(spec: EffectiveSpec, origins: Mapping[str, Origin]) -> list[EffectiveValue]:
    """Return each value of the spec with its origin, in the order of the spec."""
    values: list[tuple[str, str]] = [
        ("runtime", spec.runtime),
        ("model_name", spec.model_name),
        ("model_path", spec.model_path),
        ("image", cell(spec.image)),
        ("architecture", spec.architecture or "any"),
        ("command", shlex.join(spec.command) if spec.command else "the image's own"),
        ("port", str(spec.port)),
    ]
    if spec.health_check is None:
        values.append(("health_check", health_check_words(None)))
    else:
        values += [(f"health_check.{name}", cell(value)) for name, value in spec.health_check]
    values += [
        (f"slots.{name}", slots({name: amount}).partition("=")[2]) for name, amount in sorted(spec.slots.items())
    ]
    if spec.shm_size is not None:
        values.append(("shm_size", size(spec.shm_size)))
    if spec.resource_group is not None:
        values.append(("resource_group", spec.resource_group))
    values += [(f"environ.{name}", value) for name, value in sorted(spec.environ.items())]
    values += [(f"secrets[{index}]", secret_words(pin)) for index, pin in enumerate(spec.secrets)]
    values += [(f"mounts[{index}]", mount_words(mount)) for index, mount in enumerate(spec.mounts)]
    values.append(("pre_start_actions", ", ".join(map(_action, spec.pre_start_actions)) or "none"))
    return [EffectiveValue(path, value, origins.get(path)) for path, value in values]


@dataclass(frozen=True)
class EffectiveValue:
    """A line of the table of effective values."""

    path: str
    value: str
    origin: Origin | None

    @property
    def origin_words(self) -> str:
        """Where it comes from, in words."""
        if self.origin is None:
            return "-"
        if self.origin.source == "baseline":
            return "the runtime's baseline" if self.path != "resource_group" else "the installation's default"
        if self.origin.source == "project":
            return "the project's default"
        if self.origin.source == "size":
            return f"size {self.origin.size}: {self.origin.path}"
        return f"{self.origin.file or self.origin.source}: {self.origin.path}"

    def model_dump_json(self) -> str:
        """Return the JSON text."""
        return json.dumps({"path": self.path, "value": self.value, "origin": self.origin_words})


VALUES: Columns[EffectiveValue] = (
    ("VALUE", lambda v: v.path),
    ("IS", lambda v: v.value),
    ("FROM", lambda v: v.origin_words),
)


def metadata_facts(metadata: ModelMetadata | None) -> Facts:
    """Return what the model definition says of the model, one line each."""
    if metadata is None:
        return []
    given = metadata.model_dump(exclude_defaults=True, exclude={"min_resource"})
    facts = [(f"model {name.replace('_', ' ')}", _words(value)) for name, value in given.items()]
    least = [("model needs", slots(metadata.min_resource))] if metadata.min_resource else []
    return [*facts, *least]


def _words(value: object) -> object:
    return " ".join(value) if isinstance(value, tuple) else value


def spec_facts(spec: EffectiveSpec) -> Facts:
    """Return the model, command, port, health check, and each mount, variable and pre-start action."""
    return [
        ("model", spec.model_name),
        *metadata_facts(spec.metadata),
        ("architecture", spec.architecture or "any"),
        ("command", shlex.join(spec.command) if spec.command else "the image's own"),
        ("port", f"{spec.port} in the container"),
        ("health check", health_check_words(spec.health_check)),
        *_each("mount", map(mount_words, spec.mounts)),
        *_each("variable", (f"{name}={value}" for name, value in sorted(spec.environ.items()))),
        *(("secret", secret_words(pin)) for pin in spec.secrets),
        *_each("pre-start action", map(_action, spec.pre_start_actions)),
    ]


def health_check_words(check: HealthCheck | None) -> str:
    """Format a health check in one line."""
    if check is None:
        return "none: ready when the port accepts a connection"
    return (
        f"GET {check.path} every {check.interval:g} s, first after {check.initial_delay:g} s; expects "
        f"{check.expected_status_code} within {check.max_wait_time:g} s; unhealthy after more than "
        f"{count(check.max_retries, 'failure')} in a row"
    )


def _each(name: str, values: Iterator[str]) -> Facts:
    return [(name, value) for value in values] or [(name, "none")]


def mount_words(mount: EffectiveMount) -> str:
    """Return a mount in words."""
    content = f", content {mount.snapshot_id[:12]}" if mount.snapshot_id is not None else ""
    return f"{mount.host_path or mount.folder or mount.folder_id} at {mount.target}, {'read only' if mount.read_only else 'read and write'}{content}"


def secret_words(pin: PinnedSecret) -> str:
    """Return what a secret is used for, which it is, and its version."""
    what = {
        "variable": pin.variable,
        "registry": "login at the image's registry",
        "model": "login at the model's source",
    }[pin.use]
    return f"{what} from {pin.name} version {pin.version}"


def _action(action: PreStartAction) -> str:
    args = action.args.model_dump(exclude_defaults=True)
    if "body" in args:
        args["body"] = f"({count(len(args['body'].encode()), 'byte')})"
    words = (shlex.join(value) if isinstance(value, tuple) else f"{value}" for value in args.values())
    return f"{action.action} {' '.join(words)}"
