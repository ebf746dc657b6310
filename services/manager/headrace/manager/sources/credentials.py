"""Credentials of model sources: secrets of projects, and the operator's file, which says for which URIs and projects each is.

Those of the file are never in a request, an answer, a log or a revision: a project uses them by naming a URI that they are for.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, model_validator

from headrace.common.contracts import wording
from headrace.common.contracts.model_uri import scheme_of
from headrace.manager.domain.model_source import SourceError

MAX_FILE_BYTES: Final = 2**20
MAX_CREDENTIALS: Final = 1000
EVERYBODY: Final = "*"


class Credential(BaseModel):
    """A token, or for `s3://` a pair of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    token: SecretStr = SecretStr("")
    access_key_id: str = ""
    secret_access_key: SecretStr | None = None


class ListedCredential(Credential):
    """Credential of the file, and what it is for."""

    uri: Annotated[str, StringConstraints(pattern=r"^(hf://|s3://|https://[^/@\s]+/)[^\s]*$", max_length=2048)]
    """Beginning of URIs: all of one, or up to a `/`."""
    projects: Annotated[tuple[str, ...], Field(min_length=1, max_length=10_000)]
    """Names of projects that may use it; `*`: all."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        keys = bool(self.access_key_id) and self.secret_access_key is not None
        if self.uri.startswith("s3://") != keys or keys == bool(self.token.get_secret_value()):
            raise ValueError("s3:// has access_key_id and secret_access_key, all others token")
        return self

    def fits(self, uri: str, project: str) -> bool:
        """Return whether it is for this URI of this project."""
        bare = uri.partition("@")[0] if uri.startswith("hf://") else uri
        below = self.uri if self.uri.endswith("/") else f"{self.uri}/"
        return (bare == self.uri or bare.startswith(below)) and bool({project, EVERYBODY}.intersection(self.projects))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    credentials: Annotated[tuple[ListedCredential, ...], Field(max_length=MAX_CREDENTIALS)] = ()


def credential_of(uri: str, secret: str) -> Credential | None:
    """Return the credential that the value of a project's secret is for a URI; None where it has another form."""
    value = secret.strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        return None
    if scheme_of(uri) != "s3":
        return Credential(token=SecretStr(value))
    key_id, _, key = value.partition(":")
    return Credential(access_key_id=key_id, secret_access_key=SecretStr(key)) if key_id and key else None


class Credentials:
    """The file, which is read at each use. Blocks."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def find(self, uri: str, project: str) -> ListedCredential | None:
        """Return the one with the longest URI that fits. Raises SourceError."""
        fitting = [one for one in self._read() if one.fits(uri, project)]
        return max(fitting, key=lambda one: len(one.uri), default=None)

    def _read(self) -> tuple[ListedCredential, ...]:
        if self._file is None:
            return ()
        try:
            with self._file.open("rb") as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise SourceError(f"model_credentials_file has more than {MAX_FILE_BYTES} bytes", lasting=True)
            return _File.model_validate(tomllib.loads(content.decode())).credentials
        except OSError as error:
            why = f"cannot be read: {error.strerror or type(error).__name__}"
        except ValidationError as error:  # never with the values
            why = f"is invalid at {wording.joined(wording.parts(error.errors(include_input=False)[0]['loc'])) or 'its top'}"
        except ValueError:
            why = "is no TOML"
        raise SourceError(f"the manager's model_credentials_file {why}", lasting=False)
