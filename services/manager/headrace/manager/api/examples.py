"""Examples of request bodies and answers in the OpenAPI document. A test holds each against its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from headrace.common.contracts.http.agent_drains import StartDrain
from headrace.common.contracts.http.agents import ChangeLabels, CordonAgent, UpdateAgent
from headrace.common.contracts.http.clients import CreateClient
from headrace.common.contracts.http.definitions import CheckDefinition
from headrace.common.contracts.http.folder_shares import AcceptFolder, ShareFolder
from headrace.common.contracts.http.folders import (
    CreateDirectory,
    CreateFolder,
    Move,
    RestoreFolder,
    Selection,
    UpdateFolder,
)
from headrace.common.contracts.http.joining import CreateJoinToken, Join, RenewIdentity
from headrace.common.contracts.http.keys import CreateKey, UpdateKey
from headrace.common.contracts.http.logins import PutPassword, StartLogin
from headrace.common.contracts.http.projects import CreateProject, ProjectView, PutMember, UpdateProject
from headrace.common.contracts.http.replicas import PutWeight
from headrace.common.contracts.http.resolutions import Resolve
from headrace.common.contracts.http.resource_groups import CreateResourceGroup, UpdateResourceGroup
from headrace.common.contracts.http.resource_presets import (
    CreateResourcePreset,
    UpdateResourcePreset,
)
from headrace.common.contracts.http.revisions import Rollback
from headrace.common.contracts.http.rollouts import Promote, RolloutMessage
from headrace.common.contracts.http.rules import UpdateRule
from headrace.common.contracts.http.secrets import PutSecret
from headrace.common.contracts.http.services import CreateService, NameAvailability, ServiceDetail, UpdateService
from headrace.common.contracts.http.tokens import CreateToken, NewToken, UpdateCaller, UpdateToken
from headrace.common.contracts.http.users import CreateUser, UpdateUser, UserView
from headrace.common.contracts.http.validations import StartValidation
from headrace.common.contracts.http.webhooks import CreateWebhook, UpdateWebhook
from headrace.common.contracts.reasons.service import NameReason, ServiceReason
from headrace.common.contracts.rule import RuleSpec

_ID: Final = "0199a3b2-7c1e-7f40-8a55-3d1c0f6e2b91"
_AT: Final = "2026-11-30T12:00:00Z"
_TAG: Final = "9f86d081884c7d65"
_RULE: Final = {
    "source": "inference-framework",
    "metric": "headrace_requests_in_flight",
    "comparator": "GREATER_THAN",
    "threshold": 8,
    "step": 1,
    "min_replicas": 1,
    "max_replicas": 4,
    "cooldown_s": 120,
}
_SERVICE: Final = {
    "name": "chat",
    "project": "default",
    "folder": "llama-3-8b",
    "runtime": "vllm",
    "replicas": 2,
    "slots": {"cpu": "8", "mem": "34359738368", "cuda.device": "1"},
    "environ": {"VLLM_LOGGING_LEVEL": "INFO"},
    "description": "Answers questions of the help desk",
    "tags": ["help-desk"],
}
_SERVICE_DETAIL: Final = {
    "id": _ID,
    "name": "chat",
    "project_id": _ID,
    "project": "default",
    "description": "Answers questions of the help desk",
    "status": "healthy",
    "phase": "deployed",
    "reason": {"code": ServiceReason.ALL_HEALTHY.value, "text": "all 2 replicas are healthy"},
    "replicas": 2,
    "healthy_replicas": 2,
    "open_to_public": False,
    "endpoint": "https://models.example.com/chat",
    "fleet_endpoint": "https://models.example.com/v1",
    "example": 'curl -H "Authorization: Bearer $TOKEN" https://models.example.com/chat/v1/models',
    "resource_group": "default",
    "revision": 3,
    "served_revision": 3,
    "runtime": "vllm",
    "image": "vllm/vllm-openai:v0.9.0",
    "folder_id": _ID,
    "slots": {"cpu": "8", "mem": "34359738368", "cuda.device": "1"},
    "metadata": {},
    "tags": ["help-desk"],
    "drain_grace_s": 60.0,
    "created_by": "ann",
    "created_at": _AT,
    "updated_at": _AT,
    "etag": _TAG,
    "replica_list": [],
    "errors": [],
}

REQUESTS: Final[Mapping[type[BaseModel], Mapping[str, Any]]] = {
    CreateProject: {"name": "help-desk", "description": "Models of the help desk", "quota": {"cuda.device": "8"}},
    UpdateProject: {"quota": {"cuda.device": "16", "cpu": None}, "features": {"public-services": False}},
    PutMember: {"role": "member"},
    CreateUser: {"name": "ann"},
    UpdateUser: {"operator": True},
    CreateKey: {"name": "ci", "expires_in_s": 2592000, "projects": ["help-desk"]},
    UpdateKey: {"name": "ci", "read_only": True},
    StartLogin: {"user": "ann", "password": "correct horse battery staple"},
    PutPassword: {"password": "correct horse battery staple"},
    CreateFolder: {"name": "llama-3-8b", "project": "default", "usage_mode": "model"},
    RestoreFolder: {"name": "llama-3-8b-again"},
    UpdateFolder: {"name": "llama-3-1-8b"},
    CreateDirectory: {"path": "adapters"},
    Move: {"path": "model.bin", "to": "weights/model.bin"},
    CheckDefinition: {"path": "model-definition.yaml", "text": "models:\n  - name: chat\n    model_path: /models\n"},
    Selection: {"paths": ["config.json"]},
    CreateService: _SERVICE,
    UpdateService: {"replicas": 4, "message": "the new term begins"},
    Rollback: {"revision": 2, "message": "answers got worse"},
    Resolve: {"service": "chat", "update": {"replicas": 4}},
    CreateToken: {
        "name": "web-shop",
        "expires_in_s": 2592000,
        "limits": {"requests_per_second": 10, "tokens_per_day": 2000000},
    },
    UpdateToken: {"limits": {"requests_per_second": 20, "in_flight": None}},
    CreateClient: {"name": "web-shop", "limits": {"requests_per_second": 10, "tokens_per_day": 2000000}},
    UpdateCaller: {"limits": {"requests_per_second": 20, "in_flight": None}},
    PutSecret: {"value": "hf_…"},
    CreateResourcePreset: {"name": "one-gpu", "slots": {"cpu": "8", "mem": "34359738368", "cuda.device": "1"}},
    UpdateResourcePreset: {"slots": {"cpu": "16"}},
    CreateResourceGroup: {"name": "a100"},
    UpdateResourceGroup: {"projects": ["help-desk"]},
    CreateWebhook: {
        "name": "chat-ops",
        "url": "https://hooks.example.com/headrace",
        "secret": "hook-key",
        "kinds": ["service.*"],
    },
    UpdateWebhook: {"enabled": False},
    RuleSpec: _RULE,
    UpdateRule: {"threshold": 16},
    PutWeight: {"weight": 50},
    RolloutMessage: {"message": "looking into the latency"},
    Promote: {"full": True},
    CreateJoinToken: {"kind": "agent", "resource_group": "a100", "uses": 4, "ttl_s": 3600},
    Join: {
        "token": f"hrj_{'0' * 32}_{'a' * 43}",
        "kind": "agent",
        "name": "gpu-1",
        "public_key": f"U{'A' * 55}",
    },
    RenewIdentity: {"public_key": f"U{'A' * 55}", "signed_at": 1796040000, "signature": "A" * 86},
    ShareFolder: {"project": "research", "permission": "read"},
    AcceptFolder: {"project": "research"},
    StartValidation: {"project": "default", "folder": "llama-3-8b", "runtime": "vllm"},
    UpdateAgent: {"addresses": ["10.0.0.7"]},
    CordonAgent: {"reason": "new driver"},
    ChangeLabels: {"labels": {"rack": "b4", "zone": None}},
    StartDrain: {"message": "new driver"},
}
"""An example of each request body."""

ANSWERS: Final[Mapping[type[BaseModel], Mapping[str, Any]]] = {
    ProjectView: {
        "id": _ID,
        "name": "help-desk",
        "description": "Models of the help desk",
        "quota": {"cuda.device": "8"},
        "created_at": _AT,
        "note": None,
        "etag": _TAG,
    },
    UserView: {"id": _ID, "name": "ann", "operator": False, "has_password": True, "created_at": _AT, "etag": _TAG},
    NameAvailability: {
        "name": "chat",
        "available": True,
        "reason": {"code": NameReason.NAME_FREE.value, "text": "no service is called chat"},
    },
    ServiceDetail: _SERVICE_DETAIL,
    NewToken: {
        "id": _ID,
        "name": "web-shop",
        "created_by": "ann",
        "created_at": _AT,
        "expires_at": "2026-12-30T12:00:00Z",
        "revoked_at": None,
        "limits": {
            "requests_per_second": 10.0,
            "in_flight": None,
            "tokens_per_minute": None,
            "tokens_per_day": 2000000,
        },
        "share": 1,
        "etag": _TAG,
        "token": "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl",
    },
}
"""Examples of main answers."""

PROBLEM: Final = {
    "type": "urn:headrace:problem:invalid-request",
    "title": "Invalid request",
    "status": 400,
    "detail": "replicas: found -1; allowed: 0 or more",
    "errors": [{"field": "replicas", "found": -1, "allowed": "0 or more", "pointer": "#/replicas"}],
    "request_id": "5cdc97b5bc604559bdb70c35be520ed6",
}
"""An example of a refusal: of what was sent with a field that is wrong."""
