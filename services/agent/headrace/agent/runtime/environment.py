"""What every kernel finds, whatever runs it."""

from __future__ import annotations

from headrace.common.contracts.messages.plans import KernelSpec

HOME = "/home/work"
"""The home folder inside a kernel (seed 001)."""


def identity(spec: KernelSpec, *, port: int, model_path: str) -> dict[str, str]:
    """Return the variables by which every kernel, on any runtime, knows its port, its model and itself."""
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
