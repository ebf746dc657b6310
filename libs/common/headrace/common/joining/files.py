"""Files of a machine that joined: settings, certificates of the authority, identity. Blocking."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headrace.common.bus.credentials import claims_of, credentials_file, seed_of, token_of
from headrace.common.bus.identities import new_seed
from headrace.common.contracts.messages.autoscalers import AutoscalerReport
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.messages.reports import NodeReport, ProxyReport
from headrace.common.joining.errors import JoinError
from headrace.common.runtime.files import write_atomically

SettingValue = str | int | list[str]
_REPORTS: Final[dict[str, type[Message]]] = {"agent": NodeReport, "proxy": ProxyReport, "autoscaler": AutoscalerReport}
"""What each kind of service publishes of itself, under its own name."""


@dataclass(frozen=True, slots=True)
class MachineFiles:
    """Paths of one service's files, below one folder, as `headrace init` lays them out."""

    folder: Path
    name: str

    @property
    def settings(self) -> Path:
        """Settings of the service (TOML)."""
        return self.folder / "settings" / f"{self.name}.toml"

    @property
    def ca(self) -> Path:
        """Certificates of the authorities."""
        return self.folder / "tls" / "ca.crt"

    @property
    def credentials(self) -> Path:
        """Signed identity and key."""
        return self.folder / "bus" / f"{self.name}.creds"

    @property
    def pending(self) -> Path:
        """Key of a join that has not ended: repeated, it joins with the same key."""
        return self.folder / "bus" / f"{self.name}.key"

    @property
    def joined(self) -> bool:
        """Whether the machine has joined."""
        return self.credentials.exists() and self.settings.exists()

    @property
    def kinds(self) -> set[str]:
        """What it joined as, by what its identity may report; empty where that is not to be seen."""
        try:
            allowed = claims_of(token_of(self.credentials) or "")["nats"].get("pub", {}).get("allow", [])
        except (OSError, ValueError, AttributeError):
            return set()
        return {kind for kind, report in _REPORTS.items() if f"{report.prefix()}{self.name}" in allowed}

    def key(self, *, again: bool) -> str:
        """Return the seed of the machine's key, which is made if there is none. `again`: not the one that it joined with. Raises JoinError."""
        try:
            if self.pending.exists():
                return self.pending.read_text(encoding="ascii").strip()
            if not again and self.credentials.exists() and (seed := seed_of(self.credentials)) is not None:
                return seed
            seed = new_seed("user")
            self._folders()
            write_atomically(self.pending, f"{seed}\n")
        except OSError as error:
            raise JoinError(f"{self.pending} cannot be written: {error.strerror or error}") from None
        return seed

    def write(self, seed: str, joined: Mapping[str, Any], settings: Mapping[str, SettingValue]) -> None:
        """Write what the manager answered; the identity last, by which the join is done. Raises JoinError."""
        try:
            self._folders()
            if joined.get("ca"):
                write_atomically(self.ca, str(joined["ca"]))
            write_atomically(
                self.settings, "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
            )
            write_atomically(self.credentials, credentials_file(str(joined["identity"]["token"]), seed))
            self.pending.unlink(missing_ok=True)
        except OSError as error:
            raise JoinError(f"{error.filename or self.folder} cannot be written: {error.strerror or error}") from None

    def forget_key(self) -> None:
        """Delete the key of a join that was refused. Raises JoinError."""
        try:
            self.pending.unlink(missing_ok=True)
        except OSError as error:
            raise JoinError(f"{self.pending} cannot be deleted: {error.strerror or error}") from None

    def present_settings(self) -> dict[str, Any]:
        """Return the settings that it joined with. Raises JoinError."""
        try:
            return tomllib.loads(self.settings.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise JoinError(f"{self.settings} cannot be read: {error}") from None

    def _folders(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.settings, self.ca, self.credentials):
            path.parent.mkdir(mode=0o700, exist_ok=True)
