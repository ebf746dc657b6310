"""Headrace's Python client, typed with the contract models. Start at `Client`, or at `AsyncClient` in asyncio.

Names are imported on first use (PEP 562): code that only handles errors does not load the HTTP client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.sdk.async_client import AsyncClient
    from headrace.sdk.client import Client
    from headrace.sdk.errors import (
        AnswerLostError,
        ApiError,
        HeadraceError,
        TransferError,
        TreeError,
        UnexpectedAnswerError,
        UnreachableError,
        WaitFailedError,
        WaitTimeoutError,
    )
    from headrace.sdk.expiry import Expires
    from headrace.sdk.logs import LogStream
    from headrace.sdk.reasons import (
        ApiReason,
        DrainReason,
        EndpointReason,
        InstallationReason,
        KernelReason,
        ModelReason,
        NameReason,
        NoteReason,
        PlacementReason,
        ProxyReason,
        Reason,
        ReasonCode,
        Retry,
        RevocationReason,
        RolloutReason,
        ScalingReason,
        ServiceReason,
        SessionReason,
        WaitReason,
    )
    from headrace.sdk.trees.results import LeftOut, ResumeStore, TreeFile, TreeProgress, TreeResult
    from headrace.sdk.trees.resume import ResumeFile
    from headrace.sdk.waiting import Until

__all__ = [
    "AnswerLostError",
    "ApiError",
    "ApiReason",
    "AsyncClient",
    "Client",
    "DrainReason",
    "EndpointReason",
    "Expires",
    "HeadraceError",
    "InstallationReason",
    "KernelReason",
    "LeftOut",
    "LogStream",
    "ModelReason",
    "NameReason",
    "NoteReason",
    "PlacementReason",
    "ProxyReason",
    "Reason",
    "ReasonCode",
    "ResumeFile",
    "ResumeStore",
    "Retry",
    "RevocationReason",
    "RolloutReason",
    "ScalingReason",
    "ServiceReason",
    "SessionReason",
    "TransferError",
    "TreeError",
    "TreeFile",
    "TreeProgress",
    "TreeResult",
    "UnexpectedAnswerError",
    "UnreachableError",
    "Until",
    "WaitFailedError",
    "WaitReason",
    "WaitTimeoutError",
]

_HOME = {
    "AsyncClient": "async_client",
    "Client": "client",
    "Expires": "expiry",
    "LogStream": "logs",
    "Until": "waiting",
    "ResumeFile": "trees.resume",
    **dict.fromkeys(
        (
            "ApiReason",
            "ModelReason",
            "ProxyReason",
            "Retry",
            "DrainReason",
            "EndpointReason",
            "InstallationReason",
            "KernelReason",
            "NameReason",
            "NoteReason",
            "PlacementReason",
            "Reason",
            "ReasonCode",
            "RevocationReason",
            "RolloutReason",
            "ScalingReason",
            "ServiceReason",
            "SessionReason",
            "WaitReason",
        ),
        "reasons",
    ),
    **dict.fromkeys(("LeftOut", "ResumeStore", "TreeFile", "TreeProgress", "TreeResult"), "trees.results"),
}
"""Module of each exported name."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"headrace.sdk.{_HOME.get(name, 'errors')}"), name)
