"""Output of effective specs: `headrace service show`, also of an earlier revision."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from headrace.cli.session import Session
from headrace.cli.text import cell, slots
from headrace.common.contracts.http.revisions import EffectiveMount, EffectiveSpec, RevisionDetail
from headrace.common.contracts.model import HealthCheck, PreStartAction
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
            ("slots", slots(spec.slots)),
            *spec_facts(spec),
        ),
    )


def spec_facts(spec: EffectiveSpec) -> Facts:
    """Return command, port, health check, and each mount, variable and pre-start action."""
    return [
        ("architecture", spec.architecture or "any"),
        ("command", shlex.join(spec.command) if spec.command else "the image's own"),
        ("port", f"{spec.port} in the container"),
        ("health check", health_check_words(spec.health_check)),
        *_each("mount", map(_mount, spec.mounts)),
        *_each("variable", (f"{name}={value}" for name, value in sorted(spec.environ.items()))),
        *(("secret", _secret(pin)) for pin in spec.secrets),
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


def _mount(mount: EffectiveMount) -> str:
    content = f", content {mount.snapshot_id[:12]}" if mount.snapshot_id is not None else ""
    return f"{mount.host_path or mount.folder or mount.folder_id} at {mount.target}, {'read only' if mount.read_only else 'read and write'}{content}"


def _secret(pin: PinnedSecret) -> str:
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
