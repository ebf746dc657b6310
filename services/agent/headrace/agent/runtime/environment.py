"""Environment variables of kernels, the same on every runtime."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.common.contracts.environ import is_reserved
from headrace.common.contracts.messages.plans import KernelSpec

HOME = "/home/work"
"""The home folder inside a kernel."""


def identity(spec: KernelSpec, *, port: int, model_path: str) -> dict[str, str]:
    """Return the variables that tell a kernel its port, its model and its ids."""
    return {
        "HEADRACE_PORT": str(port),
        "PORT": str(port),
        "HEADRACE_MODEL_PATH": model_path,
        "MODEL_PATH": model_path,
        "BACKEND_MODEL_PATH": model_path,
        "HEADRACE_KERNEL_ID": str(spec.kernel_id),
        "HEADRACE_SESSION_ID": str(spec.session_id),
        "HEADRACE_SERVICE_ID": str(spec.service_id or ""),
        "HEADRACE_NAME": spec.name,
        "BACKENDAI_KERNEL_ID": str(spec.kernel_id),
        "BACKENDAI_SESSION_ID": str(spec.session_id),
    }


def permitted(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the tenant's variables without those that only Headrace sets."""
    return {name: value for name, value in environ.items() if not is_reserved(name)}


def overridden(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the tenant's variables that do not reach the kernel, sorted."""
    return tuple(sorted(name for name in environ if is_reserved(name)))
