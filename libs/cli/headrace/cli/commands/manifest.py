"""Output of the manifest of a folder or revision."""

from __future__ import annotations

from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import size
from headrace.common.contracts.manifest import FolderManifest, ManifestFile
from headrace.common.text.counting import count

_COLUMNS: Columns[ManifestFile] = (
    ("SHA256", lambda file: file.sha256),
    ("SIZE", lambda file: size(file.size_bytes)),
    ("PATH", lambda file: file.path),
)


def show_manifest(session: Session, manifest: FolderManifest) -> None:
    """Print a manifest: its files, and their sum with the digest of the content."""
    if session.output.as_json:
        session.output.record(manifest)
        return
    session.output.table(manifest.files, _COLUMNS, empty="no files")
    files = f"{count(len(manifest.files), 'file')}, {size(manifest.size_bytes)}"
    session.output.note(f"{files}, content {manifest.snapshot_id}")
