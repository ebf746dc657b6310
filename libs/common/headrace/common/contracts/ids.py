"""One type per kind of id. Rows are identified by UUIDv7 (RFC 9562: sortable by creation time); machines and proxies by operator-chosen slugs."""

from __future__ import annotations

import os
import time
from typing import Annotated, NewType
from uuid import UUID

from pydantic import StringConstraints

from headrace.common.contracts.wording import pattern

ProjectId = NewType("ProjectId", UUID)
UserId = NewType("UserId", UUID)
KeyId = NewType("KeyId", UUID)
LoginId = NewType("LoginId", UUID)
FolderId = NewType("FolderId", UUID)
ImportId = NewType("ImportId", UUID)
UploadId = NewType("UploadId", UUID)
FolderShareId = NewType("FolderShareId", UUID)
ServiceId = NewType("ServiceId", UUID)
RevisionId = NewType("RevisionId", UUID)
SessionId = NewType("SessionId", UUID)
KernelId = NewType("KernelId", UUID)
TokenId = NewType("TokenId", UUID)
ClientId = NewType("ClientId", UUID)
RuleId = NewType("RuleId", UUID)
EventId = NewType("EventId", UUID)
JoinTokenId = NewType("JoinTokenId", UUID)
SecretId = NewType("SecretId", UUID)
ResourcePresetId = NewType("ResourcePresetId", UUID)
WebhookId = NewType("WebhookId", UUID)

SLUG = pattern(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "1 to 63 lower-case letters, digits and hyphens, the first and the last no hyphen",
)
"""Names that become part of a URL path, a host name (RFC 1123 label) and a bus subject."""

Slug = Annotated[str, StringConstraints(pattern=SLUG)]
FolderReference = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""Name or id of a folder; of another project's, which is shared, its id or `<project>/<name>`."""
AgentId = Slug
ProxyId = Slug
AutoscalerId = Slug
SNAPSHOT = pattern(r"^[0-9a-f]{64}$", "64 hexadecimal digits in lower case")
SnapshotId = Annotated[str, StringConstraints(pattern=SNAPSHOT)]
"""SHA-256 of a folder's content (`FolderManifest`): the same files, the same id."""
GpuId = Annotated[str, StringConstraints(min_length=1, max_length=80)]


def new_uuid() -> UUID:
    """Return a fresh UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)
