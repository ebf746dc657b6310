"""Client of a server: one API key, a group of calls per noun.

A group and its models are imported on first use: importing all of them takes as long as a command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from headrace.sdk.transport import Transport

if TYPE_CHECKING:
    from headrace.common.contracts.http.installation import Version
    from headrace.common.contracts.http.search import SearchResults
    from headrace.common.contracts.http.status import InstallationStatus
    from headrace.common.contracts.http.targets import TargetGroup, TargetKind
    from headrace.common.contracts.http.whoami import WhoAmI
    from headrace.common.contracts.vocabulary import FoundKind
    from headrace.sdk.agents import Agents
    from headrace.sdk.audit import Audit
    from headrace.sdk.clients import Clients
    from headrace.sdk.events import Events
    from headrace.sdk.folders import Folders
    from headrace.sdk.joining import Identities, JoinTokens
    from headrace.sdk.logins import Logins
    from headrace.sdk.metrics import Metrics
    from headrace.sdk.models import Models
    from headrace.sdk.projects import Projects
    from headrace.sdk.resource_groups import ResourceGroups
    from headrace.sdk.resource_presets import ResourcePresets
    from headrace.sdk.rollouts import Rollouts
    from headrace.sdk.rules import Rules
    from headrace.sdk.secrets import Secrets
    from headrace.sdk.services import Services
    from headrace.sdk.tokens import Tokens
    from headrace.sdk.usage import Usage
    from headrace.sdk.users import Users
    from headrace.sdk.validations import Validations
    from headrace.sdk.webhooks import Webhooks


class Client:
    """Synchronous client of Headrace's REST API; use it as a context manager, or close() it. Thread-safe.

    Lists are iterators over all pages, fetched when needed. Where something is named, its name or its id can be given.
    `if_match` of a change: the `etag` of the thing as it was read; ApiError `precondition-failed` if it was changed since.
    Every call may raise ApiError, UnreachableError, AnswerLostError and UnexpectedAnswerError (see
    headrace.sdk.errors); safe requests, and creations (by an idempotency key), are repeated `retries` times if the connection fails.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        retries: int = 3,
        verify: bool | str = True,
        patience_s: float = 0.0,
        on_wait: Callable[[str], None] | None = None,
        message: str = "",
    ) -> None:
        """`url`: the manager's, for example http://127.0.0.1:8080. `key`: an API key, or the token of a login; empty to log in by
        `logins.start()`. `timeout_s`: longest silence within one response.

        `verify`: True to check the server's certificate, or the path of the CA file. `patience_s`: how long each
        request, also one that is not repeated otherwise, waits for a server that accepts no connections, such as one
        that restarts; `on_wait` is called after a second of it. `message`: why this client makes changes, a line of at most 1,000
        characters for the audit log; one that a call has itself counts instead. Raises ValueError if `url` is not an http(s) URL,
        `key` or `message` cannot be one, or the CA file cannot be used.
        """
        self._transport = Transport(
            url,
            key,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            retries=retries,
            verify=verify,
            patience_s=patience_s,
            on_wait=on_wait,
            message=message,
        )

    @cached_property
    def projects(self) -> Projects:
        """Projects, their members and quotas."""
        from headrace.sdk.projects import Projects  # noqa: PLC0415

        return Projects(self._transport)

    @cached_property
    def users(self) -> Users:
        """Users and their API keys."""
        from headrace.sdk.users import Users  # noqa: PLC0415

        return Users(self._transport)

    @cached_property
    def logins(self) -> Logins:
        """Logins and passwords of users."""
        from headrace.sdk.logins import Logins  # noqa: PLC0415

        return Logins(self._transport)

    @cached_property
    def folders(self) -> Folders:
        """Model folders and the files in them."""
        from headrace.sdk.folders import Folders  # noqa: PLC0415

        return Folders(self._transport)

    @cached_property
    def models(self) -> Models:
        """Model store: folders that can be run as their definition files say."""
        from headrace.sdk.models import Models  # noqa: PLC0415

        return Models(self._transport)

    @cached_property
    def services(self) -> Services:
        """Model services: revisions, replicas, logs, history."""
        from headrace.sdk.services import Services  # noqa: PLC0415

        return Services(self._transport)

    @cached_property
    def rollouts(self) -> Rollouts:
        """Rollouts of services: how they stand, pause, promote, abort."""
        from headrace.sdk.rollouts import Rollouts  # noqa: PLC0415

        return Rollouts(self._transport)

    @cached_property
    def tokens(self) -> Tokens:
        """Tokens with which applications call a service."""
        from headrace.sdk.tokens import Tokens  # noqa: PLC0415

        return Tokens(self._transport)

    @cached_property
    def project_tokens(self) -> Tokens:
        """Tokens with which applications call all services of a project."""
        from headrace.sdk.tokens import Tokens  # noqa: PLC0415

        return Tokens(self._transport, "projects")

    @cached_property
    def clients(self) -> Clients:
        """Named clients of a service."""
        from headrace.sdk.clients import Clients  # noqa: PLC0415

        return Clients(self._transport)

    @cached_property
    def secrets(self) -> Secrets:
        """Secrets of a project, which are never read back."""
        from headrace.sdk.secrets import Secrets  # noqa: PLC0415

        return Secrets(self._transport)

    @cached_property
    def resource_presets(self) -> ResourcePresets:
        """Resource presets: the sizes that services may name."""
        from headrace.sdk.resource_presets import ResourcePresets  # noqa: PLC0415

        return ResourcePresets(self._transport)

    @cached_property
    def resource_groups(self) -> ResourceGroups:
        """Resource groups: the sets of machines that services may name."""
        from headrace.sdk.resource_groups import ResourceGroups  # noqa: PLC0415

        return ResourceGroups(self._transport)

    @cached_property
    def rules(self) -> Rules:
        """Autoscaling rules of a service."""
        from headrace.sdk.rules import Rules  # noqa: PLC0415

        return Rules(self._transport)

    @cached_property
    def agents(self) -> Agents:
        """Machines, for operators."""
        from headrace.sdk.agents import Agents  # noqa: PLC0415

        return Agents(self._transport)

    @cached_property
    def join_tokens(self) -> JoinTokens:
        """Tokens with which machines join, for operators."""
        from headrace.sdk.joining import JoinTokens  # noqa: PLC0415

        return JoinTokens(self._transport)

    @cached_property
    def identities(self) -> Identities:
        """Identities on the bus, for operators."""
        from headrace.sdk.joining import Identities  # noqa: PLC0415

        return Identities(self._transport)

    @cached_property
    def usage(self) -> Usage:
        """Usage of callers and of machines."""
        from headrace.sdk.usage import Usage  # noqa: PLC0415

        return Usage(self._transport)

    @cached_property
    def metrics(self) -> Metrics:
        """Metrics of services: their history, and what they are now."""
        from headrace.sdk.metrics import Metrics  # noqa: PLC0415

        return Metrics(self._transport)

    @cached_property
    def audit(self) -> Audit:
        """The audit log."""
        from headrace.sdk.audit import Audit  # noqa: PLC0415

        return Audit(self._transport)

    @cached_property
    def events(self) -> Events:
        """Live events: what changes, as it does."""
        from headrace.sdk.events import Events  # noqa: PLC0415

        return Events(self._transport)

    @cached_property
    def webhooks(self) -> Webhooks:
        """Webhooks of a project."""
        from headrace.sdk.webhooks import Webhooks  # noqa: PLC0415

        return Webhooks(self._transport)

    @cached_property
    def validations(self) -> Validations:
        """Trial runs of a spec."""
        from headrace.sdk.validations import Validations  # noqa: PLC0415

        return Validations(self._transport)

    @property
    def url(self) -> str:
        """Server URL."""
        return self._transport.url

    def whoami(self) -> WhoAmI:
        """Return the authenticated user and its roles."""
        from headrace.common.contracts.http.whoami import WhoAmI  # noqa: PLC0415

        return self._transport.one(WhoAmI, "GET", "/v1/whoami")

    def search(self, text: str, *, kind: FoundKind | None = None, limit: int | None = None) -> SearchResults:
        """Return services, folders, projects, machines and users that have the text in name or description, `limit` of each
        kind.
        """
        from headrace.common.contracts.http.search import SearchResults  # noqa: PLC0415

        query = {"q": text, "kind": kind, "limit": limit}
        return self._transport.one(SearchResults, "GET", "/v1/search", query=query)

    def targets(self, kind: TargetKind | None = None) -> tuple[TargetGroup, ...]:
        """Return what Prometheus scrapes, for operators: all, or the targets of one kind."""
        from headrace.common.contracts.http.targets import TargetGroups  # noqa: PLC0415

        return self._transport.one(TargetGroups, "GET", "/v1/targets", query={"kind": kind} if kind else {}).root

    def status(self) -> InstallationStatus:
        """Return each part of the installation and what is wrong with it, for operators.

        Raises ApiError 503 with what is known in `detail` while the database is away.
        """
        from headrace.common.contracts.http.status import InstallationStatus  # noqa: PLC0415

        return self._transport.one(InstallationStatus, "GET", "/v1/status")

    def version(self) -> Version:
        """Return the server's version."""
        from headrace.common.contracts.http.installation import Version  # noqa: PLC0415

        return self._transport.one(Version, "GET", "/v1/version")

    @contextmanager
    def another(self) -> Iterator[Client]:
        """Yield a client with connections of its own; closing it, also in another thread, ends what it does, such as a wait."""
        with self._transport.another() as transport:
            made = Client.__new__(Client)
            made._transport = transport  # noqa: SLF001 - one of this class
            yield made

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
