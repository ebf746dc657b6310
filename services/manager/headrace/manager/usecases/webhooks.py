"""Use cases of webhooks: owners keep them, since their URLs may be secrets; a project's history is told to them."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.webhooks import CreateWebhook, UpdateWebhook, WebhookView
from headrace.common.contracts.ids import SecretId, WebhookId, new_uuid
from headrace.common.contracts.problems import Conflict, InvalidRequest, NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import WebhookState
from headrace.manager.domain.entity_tags import tag_of_webhook
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.webhooks import Webhook
from headrace.manager.domain.source_policy import SourcePolicy
from headrace.manager.domain.webhooks import MIN_KEY_BYTES, key_of
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.store import projects, secrets, webhooks
from headrace.manager.usecases.context import check_match, make_page, project_for, record_of
from headrace.manager.usecases.features import check_webhooks
from headrace.manager.usecases.findings import Findings
from headrace.manager.usecases.idempotency import keep
from headrace.manager.usecases.ports import Pokes
from headrace.manager.views.webhooks import webhook_view

_ALLOWED_SECRET: Final = f"{MIN_KEY_BYTES} bytes or more: as text, or whsec_ and base64"


class Webhooks:
    """Use cases of webhooks."""

    def __init__(self, pool: Pool, keys: SecretKeys, policy: SourcePolicy, pokes: Pokes, limits: ObjectLimits) -> None:
        """`policy`: which URLs may be named; the addresses of names are checked when they are connected to."""
        self._pool = pool
        self._keys = keys
        self._policy = policy
        self._pokes = pokes
        self._limits = limits

    async def create(self, actor: Actor, reference: str, new: CreateWebhook) -> WebhookView:
        """Create a webhook.

        Raises NotFound, Forbidden, NameTaken; InvalidRequest, Conflict when there are too many, with all that is wrong.
        """
        findings = Findings(gather=True)
        with findings.noted():
            self._check_url(new.url)
        async with transaction(self._pool) as con:
            project = await _locked(con, actor, reference)
            check_webhooks(project)
            there = await webhooks.count(con, project.id)
            with findings.noted():
                object_limits.check(f"project {project.name}", "webhooks", there, self._limits.webhooks_per_project)
            with findings.noted():
                secret_id = await self._secret(con, project, new.secret)
            findings.refuse()
            webhook_id = WebhookId(new_uuid())
            await webhooks.insert(
                con,
                webhook_id,
                project.id,
                new.name,
                url=new.url,
                kinds=new.kinds,
                secret_id=secret_id,
                enabled=new.enabled,
                user_id=actor.user_id,
            )
            made = await _webhook(con, project, str(webhook_id))
            await _record(con, actor, "webhook.created", None, made)
            view = webhook_view(made)
            await keep(con, actor, view)
        return view

    async def page(self, actor: Actor, reference: str, *, after: UUID, limit: int) -> Page[WebhookView]:
        """Return the project's webhooks. Raises NotFound, Forbidden."""
        async with self._pool.acquire() as con:
            project = await project_for(con, actor, reference, "owner")
            found = await webhooks.page(con, project.id, after=after, limit=limit + 1)
        return make_page(found, limit, webhook_view, lambda webhook: webhook.id)

    async def show(self, actor: Actor, reference: str, webhook: str) -> WebhookView:
        """Return one webhook with its newest answers. Raises NotFound, Forbidden."""
        async with self._pool.acquire() as con:
            project = await project_for(con, actor, reference, "owner")
            return webhook_view(await _webhook(con, project, webhook))

    async def update(self, actor: Actor, reference: str, webhook: str, change: UpdateWebhook) -> WebhookView:
        """Change a webhook; what waits is tried anew at once. Raises NotFound, Forbidden, InvalidRequest."""
        if change.url is not None:
            self._check_url(change.url)
        given = change.model_fields_set
        async with transaction(self._pool) as con:
            project = await _locked(con, actor, reference)
            held = await _held(con, actor, project, webhook)
            secret_id = held.secret_id if change.secret is None else await self._secret(con, project, change.secret)
            enabled = held.enabled if "enabled" not in given else change.enabled is not False
            if (enabled and not held.enabled) or change.url not in (None, held.url):
                check_webhooks(project)
            await webhooks.update(
                con,
                held.id,
                url=change.url or held.url,
                kinds=held.kinds if "kinds" not in given else change.kinds or ("*",),
                secret_id=secret_id,
                enabled=enabled,
            )
            after = await _webhook(con, project, str(held.id))
            await _record(con, actor, "webhook.updated", held, after, url_changed=after.url != held.url)
        self._pokes.poke("webhooks")
        return webhook_view(after)

    async def delete(self, actor: Actor, reference: str, webhook: str) -> None:
        """Delete a webhook, and what waits for it. Raises NotFound, Forbidden."""
        async with transaction(self._pool) as con:
            project = await _locked(con, actor, reference)
            held = await _held(con, actor, project, webhook)
            await webhooks.delete(con, held.id)
            await _record(con, actor, "webhook.deleted", held, None)

    async def test(self, actor: Actor, reference: str, webhook: str) -> WebhookView:
        """Queue an event `webhook.tested` for this webhook, whatever its kinds. Raises NotFound, Forbidden, Conflict."""
        async with transaction(self._pool) as con:
            project = await _locked(con, actor, reference)
            held = await _webhook(con, project, webhook)
            if not held.enabled:
                raise Conflict(f"webhook {held.name} is not enabled; enable it first")
            await _record(con, actor, "webhook.tested", held, held)
            view = webhook_view(await _webhook(con, project, str(held.id)))
        self._pokes.poke("webhooks")
        return view

    def _check_url(self, url: str) -> None:
        if any(character.isspace() or not character.isprintable() for character in url):
            raise InvalidRequest.of("url", "a URL with white space or control characters", "one without")
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise InvalidRequest.of("url", "a URL with a user or password", "one without; deliveries are signed")
        try:
            why = self._policy.why_not_url(url)
        except ValueError:
            why = "it is no URL"
        if why is not None:
            raise InvalidRequest.of("url", why, "https://HOST/PATH at a public address")

    async def _secret(self, con: Connection, project: Project, name: str) -> SecretId:
        found = await secrets.find(con, project.id, name)
        if found is None:
            raise InvalidRequest.of(
                "secret", name, f"a secret of project {project.name} (headrace secret set {name} -p {project.name})"
            )
        (newest, sealed), *_ = (await webhooks.keys(con, found.id)).items()
        try:
            key_of(self._keys.open(sealed, found.id, newest))
        except ValueError as error:
            raise InvalidRequest.of("secret", str(error), _ALLOWED_SECRET) from None
        return found.id


async def _locked(con: Connection, actor: Actor, reference: str) -> Project:
    """Return the project, locked so that its secrets and the number of its webhooks hold."""
    project = await project_for(con, actor, reference, "owner")
    if await projects.lock(con, project.id) is None:
        raise NotFound(f"there is no project {reference}")
    return project


async def _webhook(con: Connection, project: Project, reference: str) -> Webhook:
    found = await webhooks.find(con, project.id, reference)
    if found is None:
        raise NotFound(f"project {project.name} has no webhook {reference}")
    return found


async def _held(con: Connection, actor: Actor, project: Project, reference: str) -> Webhook:
    """Return a webhook, locked until the transaction ends. Raises NotFound, PreconditionFailed."""
    found = await _webhook(con, project, reference)
    await webhooks.hold(con, found.id)
    held = await _webhook(con, project, str(found.id))
    check_match(actor, f"webhook {held.name}", tag_of_webhook(held))
    return held


async def _record(
    con: Connection, actor: Actor, action: str, before: Webhook | None, after: Webhook | None, **details: Any
) -> None:
    """Record a change, without the URL: members read the history, too."""
    webhook = after or before
    assert webhook is not None  # noqa: S101 - it was there before, or is now
    was, now = (WebhookState.of(one) if one else None for one in (before, after))
    facts = {"webhook": webhook.name, "webhook_id": str(webhook.id), **details}
    await record_of(con, actor, action, Scope(webhook.project_id), before=was, after=now, **facts)
