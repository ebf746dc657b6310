"""What managers sign identities of the bus with (`bus/signing.json` of an installation): made by `headrace init`, read by managers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from headrace.common.contracts.vocabulary import JoinKind

CLAIMS_USER: Final = "manager-system"
"""User of the system account as which managers log in to replace accounts' claims."""
_MAX_BYTES: Final = 8 * 1024 * 1024
"""Largest file that is read: it names each user of the installation's files, and each revoked key."""
Seed = Annotated[str, StringConstraints(pattern=r"^S[A-Z2-7]{57}$"), Field(repr=False)]


class SigningFileError(Exception):
    """The file cannot be used; `str()` says why, without its content."""


class InstalledUser(BaseModel):
    """User of the bus whose identity is in a file of the installation."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: JoinKind
    public_key: str


class BusSigning(BaseModel):
    """Keys by which a manager makes machines' identities, and takes them back. Secret.

    With them anybody can log in to the bus as any agent, app-proxy or autoscaler, and replace the claims of every account.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    v: Literal[1] = 1
    account: str
    """Public key of the account of agents, app-proxies and autoscalers."""
    account_claims: str
    """Its claims as NATS' configuration has them."""
    account_signing: Seed
    """Seed of the key that signs its users."""
    operator_signing: Seed
    """Seed of the key that signs accounts' claims: the operator's own stays in the installation's file."""
    system_credentials: Annotated[str, Field(repr=False)]
    """Credentials file of a user of the system account, who may replace accounts' claims in the servers."""
    users: Mapping[str, InstalledUser]
    """Users of that account whose identities the installation's files hold, by name."""
    reserved: tuple[str, ...]
    """Names of users of the other accounts."""


def read_signing(file: Path) -> BusSigning:
    """Return what the file holds. Raises SigningFileError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES)
    except OSError as error:
        raise SigningFileError(f"{file} cannot be read: {error.strerror or error}") from None
    try:
        return BusSigning.model_validate_json(content)
    except ValidationError as error:
        fields = ", ".join(
            sorted({".".join(map(str, one["loc"])) or "it" for one in error.errors(include_input=False)})
        )
        raise SigningFileError(
            f"{file}: {fields} cannot be used; allowed: bus/signing.json as `headrace init` makes it"
        ) from None
