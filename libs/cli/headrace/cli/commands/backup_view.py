"""Facts of a backup, for people and as JSON."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from headrace.backup.archive import End, Manifest, Secrets
from headrace.cli.output import Output
from headrace.cli.text import size


class BackupFacts(BaseModel):
    """Output of `headrace backup --json` and `headrace restore --json`; no secrets."""

    file: Path
    bytes: int
    sha256: str
    """Of the content, which the file itself says at its end."""
    made_at: datetime
    version: str
    schema_number: int
    rows: int
    folders: str
    """`whole` or `reference`."""
    folder_count: int
    files: int
    folder_bytes: int
    left_out: int
    changed: int
    holds_installation: bool
    """Whether `headrace init --from` can make the installation's files of it."""
    restored: bool = False

    def show(self, output: Output) -> None:
        """Print them."""
        by_reference = "by reference, without their files"
        output.facts(
            self,
            (
                ("file", f"{self.file} ({size(self.bytes)})"),
                (
                    "made",
                    f"{self.made_at:%Y-%m-%d %H:%M:%S} UTC by Headrace {self.version}, schema {self.schema_number}",
                ),
                ("database", f"{self.rows:,} rows"),
                (
                    "folders",
                    f"{self.folder_count:,}, "
                    + (f"{self.files:,} files, {size(self.folder_bytes)}" if self.folders == "whole" else by_reference),
                ),
                ("keys", "the managers' key" + (", installation.json" if self.holds_installation else "")),
                ("SHA-256", self.sha256),
            ),
        )
        if self.left_out:
            output.note(f"{self.left_out} special files, or files more than 200 levels deep, were left out")
        if self.changed:
            output.note(f"{self.changed} files were written to while they were read: they are of no single moment")


def facts_of(
    file: Path, size_bytes: int, manifest: Manifest, end: End, secrets: Secrets, *, restored: bool = False
) -> BackupFacts:
    """Return the facts of a backup."""
    return BackupFacts(
        file=file,
        bytes=size_bytes,
        sha256=end.sha256,
        made_at=manifest.made_at,
        version=manifest.version,
        schema_number=manifest.schema_number,
        rows=sum(end.rows.values()),
        folders=str(manifest.folders),
        folder_count=end.folder_count,
        files=end.files,
        folder_bytes=end.folder_bytes,
        left_out=end.left_out,
        changed=end.changed,
        holds_installation=secrets.installation is not None,
        restored=restored,
    )
