"""All catalogues of codes, by a name each: what docs/reasons.md and the OpenAPI document are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headrace.common.contracts.reasons import ReasonCode
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.contracts.reasons.client import WaitReason
from headrace.common.contracts.reasons.drain import DrainReason
from headrace.common.contracts.reasons.installation import InstallationReason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.contracts.reasons.proxy import ModelReason, ProxyReason
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

CATALOGUES: Final[Mapping[str, type[ReasonCode]]] = {
    "service": ServiceReason,
    "endpoint": EndpointReason,
    "rollout": RolloutReason,
    "placement": PlacementReason,
    "session": SessionReason,
    "kernel": KernelReason,
    "drain": DrainReason,
    "scaling": ScalingReason,
    "installation": InstallationReason,
    "note": NoteReason,
    "name": NameReason,
    "revocation": RevocationReason,
    "api": ApiReason,
    "proxy": ProxyReason,
    "model": ModelReason,
    "wait": WaitReason,
}
