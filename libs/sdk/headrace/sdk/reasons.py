"""Reason codes to switch on: `service.reason.code == ServiceReason.SCALED_TO_ZERO`. Any version may add new ones."""

from headrace.common.contracts.reasons import Reason, ReasonCode
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.contracts.reasons.client import WaitReason
from headrace.common.contracts.reasons.drain import DrainReason
from headrace.common.contracts.reasons.installation import InstallationReason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.contracts.reasons.proxy import ModelReason, ProxyReason, Retry
from headrace.common.contracts.reasons.rollout import RolloutReason
from headrace.common.contracts.reasons.scaling import ScalingReason
from headrace.common.contracts.reasons.service import (
    EndpointReason,
    NameReason,
    NoteReason,
    RevocationReason,
    ServiceReason,
)
from headrace.common.contracts.reasons.session import SessionReason

__all__ = [
    "ApiReason",
    "DrainReason",
    "EndpointReason",
    "InstallationReason",
    "KernelReason",
    "ModelReason",
    "NameReason",
    "NoteReason",
    "PlacementReason",
    "ProxyReason",
    "Reason",
    "ReasonCode",
    "Retry",
    "RevocationReason",
    "RolloutReason",
    "ScalingReason",
    "ServiceReason",
    "SessionReason",
    "WaitReason",
]
