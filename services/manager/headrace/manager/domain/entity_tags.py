"""Entity tags: what can be changed of a thing, as a short text, by which a change meets the thing that its author saw.

They do not tell what only the system changes, such as health and the replicas that there are.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel

from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain.records.agents import Agent
from headrace.manager.domain.records.clients import Client
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.records.keys import Key
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.resource_groups import ResourceGroup
from headrace.manager.domain.records.resource_presets import ResourcePreset
from headrace.manager.domain.records.rules import Rule
from headrace.manager.domain.records.secrets import Secret
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.domain.records.tokens import Token
from headrace.manager.domain.records.users import User
from headrace.manager.domain.records.webhooks import Webhook


def tag_of_service(facts: ServiceFacts) -> str:
    """Return the tag of a service: its settings, its revision and whether it is to run."""
    service = facts.service
    return _tag(
        service.id,
        facts.revision,
        service.goal,
        service.wanted,
        service.description,
        service.open_to_public,
        service.metadata,
        service.tags,
        service.drain_grace_s,
        service.endpoint_port,
        service.balance,
        service.limits,
        service.caller_limits,
        service.models,
        service.cors,
        service.rollout,
    )


def tag_of_project(project: Project) -> str:
    """Return the tag of a project: description, quota, default group and features."""
    return _tag(project.id, project.description, project.quota, project.resource_group, project.features_off)


def tag_of_folder(folder: Folder) -> str:
    """Return the tag of a folder: its name. Its files have tags of their own."""
    return _tag(folder.id, folder.name)


def tag_of_member(project_id: ProjectId, user: str, role: Role | None) -> str:
    """Return the tag of a member of a project: the role, None of who is none."""
    return _tag(project_id, user, role)


def tag_of_group(group: ResourceGroup) -> str:
    """Return the tag of a resource group: the projects that may use it."""
    return _tag(group.name, group.created_at, group.projects)


def tag_of_preset(preset: ResourcePreset) -> str:
    """Return the tag of a resource preset: description and slots."""
    return _tag(preset.id, preset.description, dict(preset.slots))


def tag_of_webhook(webhook: Webhook) -> str:
    """Return the tag of a webhook: where it is, what it is told, what signs, and whether it is enabled."""
    return _tag(webhook.id, webhook.url, webhook.kinds, webhook.secret_id, webhook.enabled)


def tag_of_secret(secret: Secret) -> str:
    """Return the tag of a secret: its newest version."""
    return _tag(secret.id, secret.version)


def tag_of_agent(agent: Agent) -> str:
    """Return the tag of a machine: group, labels, allowed addresses, cordon and drain."""
    cordon = None if agent.cordon is None else vars(agent.cordon)
    return _tag(agent.id, agent.resource_group, dict(agent.labels), agent.addresses, cordon, agent.draining)


def tag_of_rule(rule: Rule) -> str:
    """Return the tag of an autoscaling rule."""
    return _tag(rule.id, rule.spec)


def tag_of_token(token: Token) -> str:
    """Return the tag of a token: name, limits, share and whether it was revoked."""
    return _tag(token.id, token.name, token.limits, token.share, token.revoked_at)


def tag_of_client(client: Client) -> str:
    """Return the tag of a named client: limits, share and the time of its secret."""
    return _tag(client.id, client.limits, client.share, client.rotated_at)


def tag_of_key(key: Key) -> str:
    """Return the tag of an API key: name, expiry and what it may."""
    return _tag(key.id, key.name, key.expires_at, key.read_only, key.projects)


def tag_of_user(user: User) -> str:
    """Return the tag of a user: whether it is an operator, and disabled."""
    return _tag(user.id, user.operator, user.disabled_at)


def _tag(*facts: object) -> str:
    text = json.dumps(facts, default=_plain, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _plain(fact: object) -> object:
    return fact.model_dump(mode="json") if isinstance(fact, BaseModel) else str(fact)
