"""Fields of `headrace service update --unset`: resets settings to those of a new service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from headrace.cli.parsing import usage

OF_THE_SPEC: Final = {
    "folder": "folder",
    "model-uri": "model_uri",
    "runtime": "runtime",
    "image": "image",
    "architecture": "architecture",
    "definition": "definition_path",
    "model": "model",
    "model-destination": "model_destination",
    "command": "command",
    "port": "port",
    "size": "size",
    "slot": "slots",
    "shm-size": "shm_size",
    "env": "environ",
    "mask": "masked",
    "env-secret": "secret_environ",
    "pull-secret": "pull_secret",
    "model-secret": "model_secret",
    "mount": "extra_mounts",
}
"""Field of the spec by the flag that sets it."""
OF_THE_SERVICE: Final[dict[str, tuple[str, Any]]] = {
    "description": ("description", ""),
    "resource-group": ("resource_group", None),
    "metadata": ("metadata", {}),
    "tag": ("tags", ()),
    "models": ("models", ()),
    "endpoint-port": ("endpoint_port", 0),
    "balance": ("balance", None),
    "limits": ("limits", None),
    "caller-limits": ("caller_limits", None),
    "cors": ("cors", None),
    "rollout": ("rollout", None),
    "drain-grace": ("drain_grace_s", 60.0),
    "public": ("open_to_public", False),
}
"""Field of the service, and the value that resets it."""
_ONE_OF_MANY: Final = {"slot", "env", "mask", "env-secret", "mount"}
FIELDS: Final = (*OF_THE_SPEC, *OF_THE_SERVICE)


def unset_of_service(unset: Iterable[str]) -> dict[str, Any]:
    """Return the fields of an UpdateService that reset the named settings. Raises CliError for an unknown one."""
    found = {}
    for item in unset:
        field, equals, name = item.partition("=")
        if field not in FIELDS or (equals and (field not in _ONE_OF_MANY or not name)):
            raise usage(
                f"--unset {item}: allowed: {', '.join(FIELDS)}; one of several as slot=NAME, env=NAME, mask=NAME, env-secret=NAME or mount=FOLDER"
            )
        if field in OF_THE_SERVICE:
            name, value = OF_THE_SERVICE[field]
            found[name] = value
    return found


def without(spec: dict[str, Any], unset: Iterable[str]) -> dict[str, Any]:
    """Return a spec without the named parts. Raises CliError for a slot, variable or mount that it does not have."""
    left = dict(spec)
    for item in unset:
        field, one, name = item.partition("=")
        if field not in OF_THE_SPEC:
            continue
        key = OF_THE_SPEC[field]
        if not one:
            left.pop(key, None)
            continue
        before = left.get(key) or ()
        if isinstance(before, dict):
            after: Any = {other: value for other, value in before.items() if other != name}
        else:
            after = [one for one in before if _name_of(one) != name]
        if len(after) == len(before):
            has = ", ".join(map(_name_of, before))
            raise usage(f"--unset {item}: found none such; allowed: {has or 'nothing, as none is set'}")
        left[key] = after
    return left


def _name_of(item: Any) -> str:
    """Return by which name one of several is taken away: a mount by its folder."""
    return str(item["folder"] if isinstance(item, dict) else item)
