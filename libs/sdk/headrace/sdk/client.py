"""The entry: one server, one API key, a group of calls per noun."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from headrace.common.contracts.http.installation import Version
from headrace.common.contracts.http.whoami import WhoAmI
from headrace.sdk.agents import Agents
from headrace.sdk.clients import Clients
from headrace.sdk.folders import Folders
from headrace.sdk.projects import Projects
from headrace.sdk.rules import Rules
from headrace.sdk.services import Services
from headrace.sdk.tokens import Tokens
from headrace.sdk.transport import Transport
from headrace.sdk.users import Users
from headrace.sdk.validations import Validations


class Client:
    """A synchronous client of Headrace's REST API; use it as a context manager, or close() it. Threads may share one.

    Lists are iterators over all pages, fetched when needed. Names and ids can both be given where something is named.
    Every call may raise ApiError, UnreachableError, AnswerLostError and UnexpectedAnswerError (see headrace.sdk.errors);
    safe requests are repeated `retries` times when no connection comes about.
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
    ) -> None:
        """`url`: the manager's, for example http://127.0.0.1:8080. `timeout_s`: longest silence within one answer.

        `verify`: check the server's certificate; or the path of the certificate authority's file.
        `patience_s`: how long each request, also one that is not repeated otherwise, waits for a server that takes no connections,
        as one that restarts; `on_wait` hears of it after a second.
        Raises ValueError when `url` is not an http(s) URL.
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
        )
        self.projects = Projects(self._transport)
        self.users = Users(self._transport)
        self.folders = Folders(self._transport)
        self.services = Services(self._transport)
        self.tokens = Tokens(self._transport)
        self.project_tokens = Tokens(self._transport, "projects")
        self.clients = Clients(self._transport)
        self.rules = Rules(self._transport)
        self.agents = Agents(self._transport)
        self.validations = Validations(self._transport)

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._transport.url

    def whoami(self) -> WhoAmI:
        """Return the caller and its roles."""
        return self._transport.one(WhoAmI, "GET", "/v1/whoami")

    def version(self) -> Version:
        """Return which version of Headrace the server runs."""
        return self._transport.one(Version, "GET", "/v1/version")

    def close(self) -> None:
        """Close the connections; the client cannot be used any more."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
