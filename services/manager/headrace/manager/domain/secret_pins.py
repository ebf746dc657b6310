"""Secrets of a new revision: which version of which secret each reference of its spec leads to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headrace.common.contracts import wording
from headrace.common.contracts.problems import row
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.secret import PinnedSecret, SecretUse, secret_name
from headrace.manager.domain.definitions.service_definition import FILE, ServiceDefaults
from headrace.manager.domain.records.secrets import KnownSecret

NAMED: Final = 20
"""Secrets that a refusal lists."""


@dataclass(frozen=True)
class AskedSecret:
    """A reference of a spec to a secret."""

    field: str
    """Where it stands, for people."""
    use: SecretUse
    reference: str
    variable: str = ""


@dataclass(frozen=True)
class SecretPins:
    """Secrets of a revision, and how many bytes their values have in a plan."""

    secrets: tuple[PinnedSecret, ...] = ()
    bytes: int = 0


NO_SECRETS: Final = SecretPins()


def asked_secrets(spec: RevisionSpec, defaults: ServiceDefaults | None) -> list[AskedSecret]:
    """Return the references of a spec over those of service-definition.toml."""
    below = defaults.secret_environ if defaults else {}
    asked = [
        *(
            AskedSecret(f"{FILE}: secret_environ.{name}", "variable", reference, name)
            for name, reference in below.items()
            if name not in spec.environ and name not in spec.secret_environ
        ),
        *(
            AskedSecret(f"secret_environ.{name}", "variable", reference, name)
            for name, reference in spec.secret_environ.items()
        ),
    ]
    if spec.pull_secret is not None:
        asked.append(AskedSecret("pull_secret", "registry", spec.pull_secret))
    if spec.model_secret is not None:
        asked.append(AskedSecret("model_secret", "model", spec.model_secret))
    return asked


def pinned(
    asked: Iterable[AskedSecret], known: Mapping[str, KnownSecret], before: Sequence[PinnedSecret], there: str
) -> SecretPins:
    """Return the secrets at their versions. Raises InvalidRequest with every reference that leads nowhere.

    `known`: at least those of the named secrets that exist; `there`: the secrets that exist, in words. A reference without a
    version leads to the one that the revision `before` has of that secret, else to the newest.
    """
    kept = {pin.secret_id: pin.version for pin in sorted(before, key=lambda pin: pin.version) if not pin.fixed}
    pins, errors, size = [], list[dict[str, Any]](), 0
    for one in asked:
        name, version = secret_name(one.reference)
        secret = known.get(name)
        if secret is None:
            errors.append(row(one.field, name, there))
            continue
        wanted = version or kept.get(secret.id, secret.newest)
        if version is None and wanted not in secret.sizes:
            wanted = secret.newest
        if wanted not in secret.sizes:
            errors.append(row(one.field, one.reference, f"a version that is kept: {_versions(secret)}"))
            continue
        if one.use != "model":  # that one is the managers' own
            size += secret.sizes[wanted] + len(one.variable) + len('"":,')
        pins.append(
            PinnedSecret(
                use=one.use,
                variable=one.variable,
                secret_id=secret.id,
                name=name,
                version=wanted,
                fixed=version is not None,
            )
        )
    if errors:
        raise wording.refusal(errors)
    return SecretPins(tuple(pins), size)


def refreshed(pins: Sequence[PinnedSecret]) -> list[AskedSecret]:
    """Return the references that a revision's secrets come from, to look them up anew."""
    return [
        AskedSecret(
            {"registry": "pull_secret", "model": "model_secret"}.get(pin.use, f"secret_environ.{pin.variable}"),
            pin.use,
            f"{pin.name}@{pin.version}" if pin.fixed else pin.name,
            pin.variable,
        )
        for pin in pins
    ]


def registry_login(value: str) -> tuple[str, str] | None:
    """Return user and password of a registry's secret, `USER:PASSWORD`; None for another form."""
    user, _, password = value.strip().partition(":")
    return (user, password) if user and password and "\n" not in password else None


def names_in_words(names: Sequence[str], project: str) -> str:
    """Return which secrets a project has, as what is allowed; `names`: the first `NAMED` + 1."""
    if not names:
        return f"the name of a secret of project {project}, which has none"
    more = ", …" if len(names) > NAMED else ""
    return f"a secret of project {project}: {', '.join(names[:NAMED])}{more}"


def _versions(secret: KnownSecret) -> str:
    versions = sorted(secret.sizes, reverse=True)
    return ", ".join(map(str, versions[:NAMED])) + (", …" if len(versions) > NAMED else "")
