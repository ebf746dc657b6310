"""Joining: tokens that operators make, and what a machine sends and gets with one."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.agents import MAX_LABELS, LabelKey, LabelValue
from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.ids import JoinTokenId, Slug
from headrace.common.contracts.keyform import JOIN_TOKEN
from headrace.common.contracts.vocabulary import JoinForm, JoinKind
from headrace.common.contracts.wording import Refused, pattern

MAX_USES = 1000
MAX_TTL_S = 30 * 24 * 3600


def _join_token(text: str) -> str:
    if JOIN_TOKEN.parse(text) is None:
        raise Refused("something else", "a join token: hrj_…")  # the value may be a secret
    return text


class CreateJoinToken(Body):
    """A new join token: whoever has it may add so many machines, app-proxies or autoscalers until it expires."""

    kind: JoinKind
    resource_group: Slug = "default"
    """Where services find the machines that join with it (agents)."""
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS)] = {}
    """Labels that they get (agents)."""
    ttl_s: Annotated[int, Field(ge=60, le=MAX_TTL_S)] = 3600
    uses: Annotated[int, Field(ge=1, le=MAX_USES)] = 1
    form: JoinForm = "wheels"
    """What `command` of the answer does: `wheels` installs Headrace from the managers' wheels; `docker` runs the agent's image,
    which the managers' setting `agent_image` names (agents). The token is the same."""


class JoinTokenView(View):
    """A join token without its secret."""

    id: JoinTokenId
    kind: JoinKind
    resource_group: str
    labels: dict[str, str]
    uses: int
    used: int
    created_at: AwareDatetime
    created_by: str
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None


class NewJoinToken(JoinTokenView):
    """A new join token with its secret, which is only shown here."""

    token: str
    url: str
    """Base URL of the API as machines reach it."""
    ca_sha256: str | None
    """SHA-256 of `GET /v1/join/ca.crt`, by which a machine knows the installation; null: the system's authorities are used."""
    command: str
    """Line to run on the new machine; it holds the token."""


PublicKey = Annotated[
    str, StringConstraints(pattern=pattern(r"^U[A-Z2-7]{55}$", "the public key of a user of NATS: U and 55 characters"))
]


class Join(Body):
    """Request of a machine to join: it made its key itself, and sends the public part only."""

    token: Annotated[str, StringConstraints(max_length=100), AfterValidator(_join_token)]
    kind: JoinKind
    name: Slug
    """Name of the machine, the app-proxy or the autoscaler; no other may have it."""
    public_key: PublicKey


class Identity(View):
    """Signed identity on the bus. It is no secret: only the owner of its key can log in with it."""

    name: str
    kind: JoinKind
    token: str
    """Claims of NATS (JWT): its subjects, and its end."""
    expires_at: AwareDatetime


class Joined(View):
    """What a machine that joined needs."""

    identity: Identity
    nats_url: str
    ca: str | None
    """Certificates of the authorities by which servers are verified (PEM); null: the system's."""
    settings: dict[str, str]
    """Further settings of its service."""


class RenewIdentity(Body):
    """Request for a new signature, with a proof that the sender has the key."""

    public_key: PublicKey
    signed_at: Annotated[int, Field(ge=0, le=2**40)]
    """Seconds since 1970 of the sender's clock."""
    signature: Annotated[str, StringConstraints(min_length=86, max_length=88)]
    """Of `renewal_message`, by the key; base64url."""


class BusIdentityView(View):
    """An identity on the bus that a manager signed, or revoked."""

    name: str
    kind: JoinKind
    public_key: str
    joined_at: AwareDatetime
    issued_at: AwareDatetime
    """Time of its newest signature."""
    expires_at: AwareDatetime | None
    """End of its newest signature, which is renewed before; null: it does not expire."""
    revoked_at: AwareDatetime | None
    revoked_by: str
    revoked_reason: str
