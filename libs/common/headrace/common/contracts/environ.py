"""Reserved environment variables: only Headrace sets them in replicas."""

from __future__ import annotations

RESERVED = frozenset(
    {
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_MIG_CONFIG_DEVICES",
        "NVIDIA_MIG_MONITOR_DEVICES",
        "NVIDIA_IMEX_CHANNELS",
        "HEADRACE_KERNEL_ID",
        "HEADRACE_SESSION_ID",
        "HEADRACE_SERVICE_ID",
        "HEADRACE_PORT",
        "HEADRACE_RUNTIME_DIR",
        "BACKENDAI_KERNEL_ID",
        "BACKENDAI_SESSION_ID",
    }
)
"""They select a container's GPUs, and identify the agent's processes."""
RESERVED_PREFIX = "CUDA_MPS_"
"""They limit a program's part of a shared GPU, and select its server."""


def is_reserved(name: str) -> bool:
    """Return True if Headrace sets this environment variable itself: a tenant's value is refused, or overridden if
    already stored.
    """
    return name in RESERVED or name.startswith(RESERVED_PREFIX)
