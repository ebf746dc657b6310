"""Manager → app-proxies: how one service is reached."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, StringConstraints

from headrace.common.contracts.cors import Cors
from headrace.common.contracts.ids import ClientId, ProjectId, RevisionId, ServiceId, SessionId, Slug, TokenId
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.vocabulary import HealthStatus

SESSION_KEY = r"^((header|cookie):[A-Za-z0-9][A-Za-z0-9_.-]{0,99}|body:user)$"
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,199}$")]
"""Value of `model` in requests: the name of a model or an adapter."""


class Route(Part):
    """Route to one replica. `draining`: open requests finish until `drain_until`, new ones go elsewhere."""

    session_id: SessionId
    revision_id: RevisionId
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    health: HealthStatus
    state: Literal["active", "draining"] = "active"
    weight: NonNegativeInt = 100
    drain_until: AwareDatetime | None = None
    """Time at which open requests on a draining replica are cut with an error; soon after, it is stopped."""


class TokenKey(Part):
    """Ed25519 public key (base64url, unpadded) that verifies tokens with this `kid`."""

    kid: str
    public_key: str


class Revocation(Part):
    """Token that is refused although its signature is valid; kept until it would have expired."""

    token_id: TokenId
    expires_at: AwareDatetime


class Limits(Part):
    """Limits of one service at each app-proxy. None: the service sets no limit of its own."""

    max_in_flight_per_replica: PositiveInt | None = None
    max_queued: NonNegativeInt = 1000
    """Requests that may be queued for a free replica at one app-proxy; further ones are answered 429."""
    queue_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """Longest wait in the queue; then 429 if every replica is full, 503 if none serves."""
    max_body_bytes: PositiveInt | None = None
    first_byte_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    idle_timeout_s: Annotated[float, Field(gt=0)] = 300.0


BalancePolicy = Literal["least-in-flight", "round-robin", "session", "prefix"]


class Balance(Part):
    """Load-balancing policy.

    least-in-flight: the less loaded of two random replicas, drawn by weight. round-robin: in turn, exactly by weight.
    session: requests with the same `session_key` go to the same replica while it has room. prefix: requests with the
    same prompt prefix do (consistent hashing with bounded load over the first `prefix_bytes`).
    """

    policy: BalancePolicy = "least-in-flight"
    session_key: Annotated[str, StringConstraints(pattern=SESSION_KEY)] = "header:x-session-id"
    """`header:<name>`, `cookie:<name>` or `body:user`."""
    prefix_bytes: Annotated[int, Field(ge=16, le=16_384)] = 512
    load_factor: Annotated[float, Field(ge=1.0, le=10.0)] = 1.25
    """Session and prefix: a replica with more than this many times the mean load is skipped."""
    slow_start_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long a new replica's weight grows from a tenth to the whole."""


MIN_RATE: Final = 0.00001
"""Lowest rate limit, in requests a second: less than one a day. Smaller ones count as this."""


class RateLimits(Part):
    """Limits of one caller over all app-proxies together. None is no limit."""

    requests_per_second: Annotated[float | None, Field(gt=0, le=1_000_000)] = None
    """Mean rate; a burst of a second's worth (at least one) is allowed."""
    in_flight: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    tokens_per_day: PositiveInt | None = None
    """Prompt and completion tokens: reserved when admitted, settled by the engine's `usage`."""


LIMITS_CLAIM = "limits"
"""Claim of a token: its limits when it was signed, an object with the names of RateLimits. None is no limits."""
SHARE_CLAIM = "share"
"""Claim of a token: its share when it was signed. None is 1."""


class TokenLimits(Part):
    """Limits and queue share of one token.

    They replace those in the token itself (LIMITS_CLAIM, SHARE_CLAIM), because they are never older. A token that is
    not listed has its own; tokens signed by older managers have none, and get `caller_limits` and share 1 then.
    """

    token_id: TokenId
    limits: RateLimits = RateLimits()
    share: Annotated[int, Field(ge=1, le=1000)] = 1
    """Weight in the queue: with 2, twice as many queued requests are dispatched as of a token with 1."""


class NamedClient(Part):
    """Client that calls with basic auth (`name:secret`), and is named to replicas in `X-Forwarded-User`."""

    client_id: ClientId
    name: Slug
    secret_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Hex digest of the secret, which is 256 random bits, so that it needs no slow hash."""
    limits: RateLimits = RateLimits()
    share: Annotated[int, Field(ge=1, le=1000)] = 1


class RouteTable(Message):
    """Manager → app-proxies: routes and settings of one service.

    Replaces any table of a lower generation; `removed` ends it.
    """

    subject: ClassVar = "route.{service_id}"
    v: Literal[1] = 1
    service_id: ServiceId
    generation: PositiveInt
    removed: bool = False
    name: Slug
    """Path segment, and host name label."""
    project_id: ProjectId
    """Tokens whose subject is the project grant access to the service too."""
    project: Slug | None = None
    """Project name; None if an older manager does not send it."""
    port: int | None = None
    """Own port, if configured."""
    models: tuple[ModelName, ...] = ()
    """Model names beside its own, under which the fleet's base URL (`/v1`) finds it for callers of its project."""
    open_to_public: bool = False
    token_keys: tuple[TokenKey, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    clients: tuple[NamedClient, ...] = ()
    token_limits: tuple[TokenLimits, ...] = ()
    caller_limits: RateLimits = RateLimits()
    """Limits of each caller without limits of its own; on a public service callers without a token count by address."""
    limits: Limits = Limits()
    balance: Balance = Balance()
    cors: Cors = Cors()
    wanted: NonNegativeInt = 0
    """Desired replicas: tells 'none yet' from 'none wanted'."""
    stopped: bool = False
    """True if a user stopped it, which is why no replicas are wanted."""
    gave_up: bool = False
    """True if so many starts failed in a row that none is tried until a user retries."""
    scale_from_zero: bool = False
    """True if a request may be queued although no replica is wanted: it will scale the service up."""
    routes: tuple[Route, ...] = ()
